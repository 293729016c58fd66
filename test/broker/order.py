"""In which order tests run: those that wait for a time limit or for servers go early, so that others run beside them.

The first quarter of all tests is handed to the workers in as many equal pieces as there are workers, one after another;
the rest follows as they get through. So what is slow is spread over that quarter, module by module: what a module
has started serves all its tests. Neighbours by name, which are slow in the same way, are parted.
"""

from itertools import groupby, zip_longest


def spread(items):
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    groups = [list(group) for _, group in groupby(sorted(slow, key=module_of), key=module_of)]
    half = (len(groups) + 1) // 2
    groups = [group for pair in zip_longest(groups[:half], groups[half:], fillvalue=[]) for group in pair]
    step = max(1, len(items) // 4 // max(1, len(groups)))
    ordered = []
    for number, group in enumerate(groups):
        ordered += group + quick[number * step:(number + 1) * step]
    items[:] = ordered + quick[len(groups) * step:]


def module_of(item):
    return item.nodeid.split("::")[0]
