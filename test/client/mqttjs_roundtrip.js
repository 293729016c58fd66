// A round trip with MQTT.js: subscribe, publish numbered messages, see them come back in order, then leave a lasting
// session, and find what was queued for it. Arguments: port, topic, QoS, protocol version (3 or 4).
// Exits with 0 when all was as it should be.

const mqtt = require("mqtt");

const [port, topic, qosText, versionText] = process.argv.slice(2);
const qos = Number(qosText);
const protocolVersion = Number(versionText);
const COUNT = 25;

function open(clientId, clean) {
  return mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, {
    clientId,
    clean,
    protocolVersion,
    protocolId: protocolVersion === 3 ? "MQIsdp" : "MQTT",
    reconnectPeriod: 0,
    resubscribe: false,
  });
}

// Resolves when COUNT messages came in order; the listener must be there before the client connects.
function collect(client, count) {
  return new Promise((resolve, reject) => {
    let next = 0;
    client.on("message", (name, payload, packet) => {
      if (name !== topic || String(payload) !== String(next) || packet.qos !== qos) {
        reject(new Error(`got ${payload} at QoS ${packet.qos} on ${name} instead of ${next}`));
      }
      next += 1;
      if (next === count) resolve();
    });
  });
}

async function roundTrip() {
  const client = await open(`${topic}-js`, true);
  const [grant] = await client.subscribeAsync(topic, { qos });
  if (grant.qos !== qos) throw new Error(`granted ${grant.qos}`);
  const all = collect(client, COUNT);
  for (let i = 0; i < COUNT; i += 1) await client.publishAsync(topic, String(i), { qos });
  await all;
  await client.unsubscribeAsync(topic);
  await client.endAsync();
}

async function lastingSession() {
  const away = await open(`${topic}-away`, false);
  await away.subscribeAsync(topic, { qos });
  await away.endAsync();
  const writer = await open(`${topic}-writer`, true);
  for (let i = 0; i < COUNT; i += 1) await writer.publishAsync(topic, String(i), { qos });
  await writer.endAsync();
  const back = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
    clientId: `${topic}-away`,
    clean: false,
    protocolVersion,
    protocolId: protocolVersion === 3 ? "MQIsdp" : "MQTT",
    reconnectPeriod: 0,
    resubscribe: false,
  });
  await collect(back, COUNT);
  await back.endAsync();
}

async function main() {
  await roundTrip();
  if (qos > 0) await lastingSession();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
