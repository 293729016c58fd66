"""Who may do what: a table of ACL files, with acts and what must come of them.

An act is a line of who, what and topic, then `+` (it is granted) or `-`, separated by two blanks or more:

    alice      write   a/b         +     publishes to it; somebody who may everything gets it
    alice:id   read    a/b         -     subscribes to it; gets what somebody else publishes there
    -          read    a/b  +  a/#       the same with another filter than the topic itself (behind the verdict)
    alice      retained …                subscribes when a message is retained there already
    alice      queued …                  was subscribed, is away when it is published, and comes back
    alice      will …                    has it as the topic of its will, and is lost; 5: is refused by that code
    alice      own …                     publishes to it and gets its own message back
    alice      sys …                     gets what the broker has retained there
    alice      suback  FILTER      N     the code that a subscription is answered with

`-` is nobody by name; a name may have `:ID` behind it. What is written here is what ours must do; where 2.0.11
does otherwise, the table of known differences in test_auth_differential.py has the row, with the reason.
"""

import re

FILES = []
FORM = re.compile(r" {2,}")


class Act:
    def __init__(self, line):
        fields = FORM.split(line.strip())
        assert len(fields) in (4, 5), line
        self.who, self.what, self.topic, self.expected = fields[:4]
        self.filter = fields[4] if len(fields) == 5 else self.topic
        name, _, self.client_id = self.who.partition(":")
        self.user = None if name == "-" else name
        self.client_id = self.client_id or "client"

    def __str__(self):
        by = f" by {self.filter}" if self.filter != self.topic else ""
        return f"{self.who} {self.what} {self.topic}{by}"


class AclFile:
    """The text of a file, what else is configured, and acts; or the exit code that it leads to."""

    def __init__(self, name, text, acts, lines, exits):
        self.name = name
        self.text = text
        self.acts = [Act(line) for line in acts.strip("\n").splitlines() if line.strip()]
        self.lines = lines
        self.exits = exits


def acl(name, text, acts="", lines=(), exits=None):
    FILES.append(AclFile(name, text, acts, lines, exits))


# --- who a rule is for ----------------------------------------------------------------------------

acl("rules for nobody by name", """\
topic read r/#
topic write w/#
topic readwrite rw/#
topic a
""", """
-       read   r/1    +
-       write  r/1    -
-       read   w/1    -
-       write  w/1    +
-       read   rw/1   +
-       write  rw/1   +
-       read   a      +
-       write  a      +
-       read   b      -
-       write  b      -
-       read   r      +
-       read   R/1    -
alice   read   r/1    -
alice   write  w/1    -
alice   write  a      -
""")
acl("rules for users", """\
user alice
topic read r/#
topic write w/+
user bob
topic b
topic read r/only
""", """
alice   read   r/1     +
alice   write  r/1     -
alice   write  w/1     +
alice   write  w/1/2   -
alice   write  w       -
alice   read   b       -
alice   write  b       -
bob     read   b       +
bob     write  b       +
bob     read   r/1     -
bob     read   r/only  +
bob     write  w/1     -
-       read   r/1     -
-       write  b       -
carol   read   r/1     -
carol   write  b       -
Alice   read   r/1     -
""")
acl("anonymous, a user, and patterns", """\
topic read all
user alice
topic write mine
pattern read home/%u
pattern write dev/%c
""", """
-        read   all         +
alice    read   all         -
alice    write  mine        +
-        write  mine        -
alice    read   home/alice  +
bob      read   home/bob    +
bob      read   home/alice  -
-        read   home/       -
-        read   home/-      -
alice:x  write  dev/x       +
alice:x  write  dev/y       -
-:x      write  dev/x       +
-:x      write  dev/client  -
bob:x    read   dev/x       -
""")
acl("patterns are for all, wherever they stand", """\
pattern write p/1
user alice
topic read a
pattern write p/2
topic write b
user bob
pattern read p/3
""", """
alice   write  p/1  +
bob     write  p/1  +
-       write  p/1  +
carol   write  p/2  +
-       write  p/2  +
alice   write  b    +
bob     write  b    -
bob     read   p/3  +
alice   read   p/3  +
alice   read   a    +
""")
acl("a user that comes twice", """\
user alice
topic read a
user bob
topic read b
user alice
topic write c
""", """
alice   read   a  +
alice   write  c  +
alice   read   b  -
bob     read   b  +
bob     write  c  -
""")
acl("names with blanks and other signs", """\
user alice smith
topic write a
user münchen
topic write b
user user bob
topic write c
user #hash
topic write d
user   spaced
topic write e
""", """
alice smith  write  a  +
alice        write  a  -
münchen      write  b  +
user bob     write  c  +
bob          write  c  -
spaced       write  e  +
""")
acl("names with wildcards", """\
user +
topic write plus
user #
topic write hash
user a/b
topic write slash
""", """
+      write  plus   +
#      write  hash   +
a/b    write  slash  +
alice  write  plus   -
alice  write  hash   -
a      write  slash  -
""")

# --- topics ---------------------------------------------------------------------------------------

acl("wildcards", """\
topic one/+/three
topic two/#
topic +/end
topic three/+/#
topic read deep/+/+/x
""", """
-   write  one/two/three   +
-   write  one//three      +
-   write  one/three       -
-   write  one/a/b/three   -
-   write  two             +
-   write  two/            +
-   write  two/a/b/c       +
-   write  twos            -
-   write  any/end         +
-   write  /end            +
-   write  end             -
-   write  a/b/end         -
-   write  three/x         +
-   write  three           -
-   write  three/x/y/z     +
-   read   deep/a/b/x      +
-   read   deep/a/b/y      -
""")
acl("all", "topic #\n", """
-      write   anything         +
-      write   /                +
-      write   a/b/c/d/e/f/g    +
-      write   $other/x         -
-      read    $other/x         -
-      sys     $SYS/broker/version  -
alice  write   anything         -
""")
acl("topics that begin with $", """\
topic #
topic read $SYS/#
topic $other/#
topic +/x
""", """
-   sys     $SYS/broker/version        +
-   write   $other/x                   +
-   read    $other/y/z                 +
-   write   $third/x                   -
-   write   $SYS/broker/version        -
-   write   a/x                        +
""")
acl("only part of $SYS", """\
topic read $SYS/broker/uptime
""", """
-   sys     $SYS/broker/uptime         +
-   sys     $SYS/broker/version        -
-   suback  $SYS/#                     0
""")
acl("plus does not stand for $", """\
topic +/x
topic +
""", """
-   write   a/x      +
-   write   $a/x     -
-   write   $a       -
-   read    $a/x     -
""")
acl("topics with blanks", """\
topic readwrite with blanks/#
topic write end blank 
topic read  two
""", """
-   write   with blanks/a    +
-   read    with blanks      +
-   write   with             -
-   read    two              +
-   write   two              -
""")
acl("a comment behind a rule is none", "topic write a # comment\n", exits=3)
acl("blanks of all kinds before a topic are not part of it", "topic read \ttab\ntopic read   blanks\n", """
-   read    tab      +
-   read    blanks   +
-   write   tab      -
""")
acl("slashes are levels", """\
topic /lead
topic trail/
topic double//slash
""", """
-   write   /lead          +
-   write   lead           -
-   write   trail/         +
-   write   trail          -
-   write   double//slash  +
-   write   double/slash   -
-   write   double/x/slash  -
""")
acl("a filter with a wildcard where none can be", """\
topic a#
topic a/+b
""", exits=3)
acl("a # that is not last", "topic a/#/b\n", exits=3)

# --- order and denial -----------------------------------------------------------------------------

acl("a denial beats a grant behind it", """\
topic deny a/secret
topic a/#
""", """
-   write   a/secret   -
-   read    a/secret   -
-   write   a/open     +
""")
acl("a denial beats a grant before it", """\
topic a/#
topic deny a/secret
""", """
-   write   a/secret   -
-   read    a/secret   -
-   write   a/open     +
-   read    a/secret   -  a/#
-   read    a/open     +  a/#
""")
acl("a denial of a user beats a pattern", """\
user alice
topic deny home/alice/safe
pattern readwrite home/%u/#
""", """
alice   write   home/alice/safe   -
alice   write   home/alice/door   +
bob     write   home/bob/safe     +
bob     write   home/alice/door   -
""")
acl("a pattern that denies", """\
user alice
topic home/#
pattern deny home/%u/safe
pattern readwrite dev/%c/#
pattern deny dev/+/lock
""", """
alice:x   write   dev/x/a      +
alice:x   write   dev/x/lock   -
bob:y     write   dev/y/lock   -
bob       write   home/bob/safe   -
""")
acl("a denial of everything", """\
topic deny #
topic a
""", """
-       write   a   -
-       read    a   -
alice   write   a   -
""")
acl("a denial for nobody by name is not for users", """\
topic deny a
user alice
topic a
""", """
alice   write   a   +
-       write   a   -
""")
acl("rights add up", """\
topic read a
topic write a
topic read b/#
topic write b/x
""", """
-   write   a     +
-   read    a     +
-   write   b/x   +
-   read    b/x   +
-   write   b/y   -
""")

# --- patterns -------------------------------------------------------------------------------------

acl("ids and names as levels", """\
pattern write c/%c/x
pattern write u/%u/x
pattern write both/%u/%c
pattern write both/%c/%u/%c
""", """
alice:one   write   c/one/x           +
alice:one   write   c/alice/x         -
alice:one   write   u/alice/x         +
alice:one   write   u/one/x           -
alice:one   write   both/alice/one    +
alice:one   write   both/one/alice    -
alice:one   write   both/one/alice/one  +
-:one       write   c/one/x           +
-:one       write   u//x              -
-:one       write   both//one         -
""")
acl("ids and names inside levels", """\
pattern write dev-%c/x
pattern write %u-home
pattern write a/pre%upost/b
pattern write %c%u
""", """
alice:one   write   dev-one/x         +
alice:one   write   dev-two/x         -
alice:one   write   alice-home        +
alice:one   write   bob-home          -
alice:one   write   a/prealicepost/b  +
alice:one   write   onealice          +
""")
acl("ids and names with slashes", """\
pattern write c/%c/x
pattern write u/%u
""", """
a/b:one     write   u/a/b      +
alice:a/b   write   c/a/b/x    +
alice:a/b   write   c/a/x      -
""")
acl("ids and names with wildcards are dangerous", """\
user +
topic write own
user alice
topic write own
pattern write c/%c
pattern write u/%u
pattern write all
""", """
+:one       write   u/bob    -
#:one       write   u/bob    -
alice:+     write   c/other  -
alice:#     write   c/other  -
alice:#     write   c        -
a+b:one     write   u/axb    -
+:one       write   all      -
alice:#     write   all      -
alice:ok    write   all      +
+:one       write   own      +
alice:#     write   own      +
""")
acl("names with wildcards read nothing of others", """\
pattern read u/%u
pattern read c/%c
""", """
+:one      read   u/bob   -
+:one      read   u/bob   -  u/+
#:one      read   u/bob   -  #
bob:+      read   c/x     -  c/+
bob:#      read   c/x     -  c/#
bob:one    read   u/bob   +  #
""")
acl("percent signs that mean nothing", """\
pattern write a/%x
pattern write b/%%u
pattern write c/%
topic write d/%u
""", """
alice:x   write   a/%x      +
alice:x   write   c/%       +
-         write   d/%u      +
-         write   d/        -
""")
acl("patterns with wildcards of their own", """\
pattern read +/%u/#
pattern write %c/+/in
""", """
alice:one   read    x/alice        +
alice:one   read    x/alice/y/z    +
alice:one   read    x/bob/y        -
alice:one   write   one/a/in       +
alice:one   write   two/a/in       -
alice:one   read    $x/alice       -
""")
acl("$ topics by pattern", """\
pattern write $up/%c/#
pattern read %u/x
""", """
alice:one    write   $up/one/a    +
alice:one    write   $up/two/a    -
$dol:one     read    $dol/x       +
""")

# --- grammar --------------------------------------------------------------------------------------

acl("an empty file", "", """
-       write   a   -
-       read    a   -
alice   write   a   -
-       sys     $SYS/broker/version   -
-       suback  a                     0
""")
acl("comments alone", "# topic #\n\n#\n", """
-       write   a   -
-       read    a   -
""")
acl("rules: comments and blank lines", """\
# the first

user alice
# topic write no

topic write yes
#user bob
topic write also
""", """
alice   write   yes    +
alice   write   also   +
alice   write   no     -
bob     write   also   -
""")
acl("rules: lines that end as in DOS", "topic a\r\n\r\n# c\r\nuser alice\r\ntopic read b\r\npattern write %u\r\n", """
-       write   a       +
alice   read    b       +
alice   write   alice   +
""")
acl("rules: the last line does not end", "user alice\ntopic write a", """
alice   write   a   +
""")
acl("the default right is both", """\
topic a
user alice
topic b/#
pattern c/%u
""", """
-       read    a         +
-       write   a         +
alice   read    b/x       +
alice   write   b/x       +
alice   read    c/alice   +
alice   write   c/alice   +
""")
acl("topics that are called like rights", """\
topic read
topic write
topic readwrite deny
""", """
-   read    read    +
-   write   read    +
-   write   write   +
-   write   deny    +
-   write   a       -
""")
acl("the file is not there", None, exits=3)
acl("an unknown word", "user alice\ntopics a\n", exits=3)
acl("an unknown word in another case", "User alice\ntopic a\n", exits=3)
acl("an unknown right", "topic reads a\n", exits=3)
acl("a right in another case", "topic READ a\n", exits=3)
acl("an unknown right of a pattern", "pattern all a\n", exits=3)
acl("topic without a filter", "topic\n", exits=3)
acl("topic and a blank without a filter", "topic \n", exits=3)
acl("pattern without a filter", "pattern\n", exits=3)
acl("user without a name", "user\ntopic a\n", exits=3)
acl("user and a blank without a name", "user \ntopic a\n", exits=3)
acl("a right and a blank without a filter", "topic read \n", """
-   write   read    +
""")
acl("two words without a right", "topic a b\n", exits=3)
acl("a bad line behind good ones", "topic a\nuser alice\ntopic b\nnonsense\n", exits=3)
acl("no blank behind the word", "topic:a\n", exits=3)
acl("a tab behind the word", "topic\ta\n")

# --- what is granted when -------------------------------------------------------------------------

acl("every kind of act", """\
user alice
topic read r/#
topic write w/#
topic both/#
""", """
alice   retained   r/1      +
alice   retained   w/1      -
alice   retained   both/1   +
alice   retained   r/1      +  #
alice   retained   w/1      -  #
alice   queued     r/1      +
alice   queued     w/1      -
alice   queued     w/1      -  #
alice   queued     both/1   +  both/#
alice   will       w/1      +
alice   will       r/1      5
alice   will       other    5
alice   will       both/1   +
alice   own        both/1   +
alice   own        w/1      -
alice   own        r/1      -
alice   suback     r/#      0
alice   suback     w/#      0
alice   suback     #        0
alice   suback     other    0
bob     suback     r/#      0
bob     will       w/1      5
""")
acl("shared subscriptions", """\
user alice
topic read r/#
user bob
topic read other
""", """
alice   read     r/1   +  $share/group/r/#
bob     read     r/1   -  $share/group/r/#
alice   read     x     -  $share/group/x
alice   suback   $share/group/x   0
bob     suback   $share/group/#   0
""")
acl("what matches by a wider filter", """\
user alice
topic read a/b
topic read a/c
topic read d/+
""", """
alice   read   a/b     +  #
alice   read   a/c     +  a/+
alice   read   a/d     -  a/+
alice   read   a/d     -  #
alice   read   d/x     +  +/x
alice   read   d/x/y   -  d/#
""")
acl("mount points are part of what a rule sees", """\
topic home/a
topic b
""", """
-   write   a    +
-   write   b    -
-   read    a    +
-   read    b    -
-   will    a    +
-   will    b    5
""", lines=("mount_point home/",))
acl("writing where the broker writes", """\
topic #
topic $SYS/#
""", """
-   write   $SYS/broker/uptime               -
-   write   $SYS/x                           -
-   write   $SYS/broker/connection/b/state   +
-   will    $SYS/broker/connection/b/state   +
""")
acl("names as client ids", """\
pattern write c/%c
pattern write u/%u
""", """
alice:x   write   c/alice   +
alice:x   write   c/x       -
alice:x   write   u/alice   +
""", lines=("use_username_as_clientid true",))
acl("many rules of many users",
    "".join(f"user u{n}\ntopic write t/{n}\ntopic read t/{n}/in\n" for n in range(300)) + "pattern write p/%u\n", """
u0     write   t/0        +
u299   write   t/299      +
u299   write   t/298      -
u150   read    t/150/in   +
u150   read    t/15/in    -
u7     write   p/u7       +
u300   write   t/30       -
""")
acl("many rules of one user", "user a\n" + "".join(f"topic read x/{n}/+\ntopic deny x/{n}/no\n" for n in range(300)), """
a   read   x/0/yes     +
a   read   x/299/yes   +
a   read   x/299/no    -
a   read   x/299/no    -  #
a   read   x/300/yes   -
a   write  x/1/yes     -
""")
