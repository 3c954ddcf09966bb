"""CPU slots: cores, quota, memory, and the files they are read from."""

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpusched.devices import Cpu, cgroup, cpu
from gpusched.errors import UsageError

GB = 1_000_000_000
PAIRS = ((0, 4), (1, 5), (2, 6), (3, 7))


def test_lists_of_the_kernel():
    """The kernel's list format is understood, an absent file is an empty one."""
    assert cpu.parse_list("0-3,8, 10-11\n") == {0, 1, 2, 3, 8, 10, 11}
    assert cpu.parse_list("") == cpu.parse_list(None) == set()


def test_siblings_stay_together(tmp_path):
    """Hyperthreads of one core are one entry, and only what this process may use is in it."""
    for number in range(8):
        folder = tmp_path / "cpu" / f"cpu{number}" / "topology"
        folder.mkdir(parents=True)
        name = "core_cpus_list" if number % 2 else "thread_siblings_list"
        (folder / name).write_text(f"{number % 4},{number % 4 + 4}\n")
    assert cpu.physical_cores(set(range(8)), tmp_path) == PAIRS
    assert cpu.physical_cores({1, 5, 6}, tmp_path) == ((1, 5), (6,))
    assert cpu.physical_cores({0, 1}, tmp_path / "absent") == ((0,), (1,))


def test_this_machine():
    """Detection on the machine at hand gives cores this process may run on, and some memory."""
    found = cpu.detect()
    logical = [number for core in found.cores for number in core]
    assert logical
    assert len(set(logical)) == len(logical)
    assert set(logical) <= set(psutil.Process().cpu_affinity())
    assert 0 < found.available_bytes <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("quota", "offset", "expected"),
    [
        (None, 0, PAIRS),
        (8.0, 0, PAIRS),
        (2.0, 0, ((0,), (1,))),
        (2.0, 3, ((0,), (3,))),
        (5.0, 0, ((0, 4), (1,), (2,), (3,))),
        (0.2, 0, ((0,),)),
        (1.6, 5, ((1,), (2,))),
    ],
)
def test_quota_buys_cores_before_hyperthreads(quota, offset, expected):
    """A quota is spent on different physical cores first, never on none."""
    assert cpu.granted(PAIRS, quota, offset) == expected


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        (1, [(0, 1, 2, 3, 4, 5, 6, 7)]),
        (2, [(0, 1, 4, 5), (2, 3, 6, 7)]),
        (3, [(0, 4), (1, 5), (2, 6)]),
        (4, [(0, 4), (1, 5), (2, 6), (3, 7)]),
        (6, [(0, 4), (1, 5), (2, 6), (3, 7), (0, 4), (1, 5)]),
    ],
)
def test_share(slots, expected):
    """Slots get whole cores, equally many each; with too few cores they take turns."""
    assert cpu.share(PAIRS, slots) == expected


@given(st.integers(1, 40), st.integers(1, 40))
def test_shares_are_even_and_spread(cores, slots):
    """Whatever the numbers, no slot has more cores than another, and no core has two slots more than another."""
    shares = cpu.share([(number,) for number in range(cores)], slots)
    taken = [sum(number in part for part in shares) for number in range(cores)]
    assert {len(part) for part in shares} == {max(1, cores // slots)}
    assert max(taken) <= -(-slots // cores)


@pytest.mark.parametrize(
    ("available", "wanted", "slots", "notes"),
    [
        (64 * GB, None, 4, ()),
        (2 * GB, None, 2, ("2 CPU slots for 4 cores: 1.9 GiB of memory hold no more at 715 MiB a trial",)),
        (GB // 10, None, 1, ("1 CPU slots for 4 cores: 95.4 MiB of memory hold no more at 715 MiB a trial",)),
        (64 * GB, 7, 7, ()),
        (2 * GB, 3, 3, ("cpu_slots=3: 1.9 GiB of memory hold about 2 trials at once (about 715 MiB a trial)",)),
        (GB // 10, 1, 1, ()),
    ],
)
def test_number_of_slots(available, wanted, slots, notes):
    """One slot a core, as many as memory holds, at least one; an explicit number stands, with a warning."""
    assert cpu.count(Cpu(cores=PAIRS, available_bytes=available), wanted) == (slots, notes)


@pytest.mark.parametrize("wanted", [0, -2, 1.5, True, "3"])
def test_number_of_slots_must_be_one(wanted):
    """A number of slots that is none is named and refused."""
    with pytest.raises(UsageError, match=r"cpu_slots=.*must be a whole number of at least 1"):
        cpu.count(Cpu(cores=PAIRS, available_bytes=GB), wanted)


class Groups:
    """A /proc/self and a cgroup file system in a folder."""

    def __init__(self, folder):
        self.proc = folder / "proc"
        self.proc.mkdir()
        self.mounts = []
        self.folder = folder

    def mount(self, name, kind, options="rw", root="/"):
        point = self.folder / name
        point.mkdir()
        escaped = str(point).replace("\\", "\\134").replace(" ", "\\040")
        self.mounts.append(f"31 23 0:28 {root} {escaped} rw,relatime shared:9 - {kind} cgroup {options}\n")
        (self.proc / "mountinfo").write_text("".join(self.mounts))
        return point

    def own(self, text):
        (self.proc / "cgroup").write_text(text)


@pytest.fixture
def groups(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    return Groups(folder)


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_cgroup_version_2(groups):
    """The tightest limit between the group and the root counts; page cache is not use."""
    root = groups.mount("unified", "cgroup2")
    groups.own("0::/job/step\n")
    write(root / "job", cpu__max="150000 100000\n", memory__max="9000\n", memory__current="100\n")
    write(root / "job" / "step", cpu__max="max 100000\n", memory__max="5000\n", memory__current="3000\n")
    write(root / "job" / "step", memory__stat="anon 1000\ninactive_file 1500\n")
    assert cgroup.cpu_quota(groups.proc) == 1.5
    assert cgroup.memory_left(groups.proc) == 3500


def test_cgroup_version_1(groups):
    """Version 1 keeps a hierarchy per controller, and writes no limit as a huge number or -1."""
    shares = groups.mount("cpu,cpuacct", "cgroup", "rw,cpu,cpuacct")
    memory = groups.mount("memory", "cgroup", "rw,memory")
    groups.own("4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n0::/\n")
    write(shares / "docker" / "x", cpu__cfs_quota_us="400000\n", cpu__cfs_period_us="100000\n")
    write(shares, cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    write(memory / "docker" / "x", memory__limit_in_bytes="8000\n", memory__usage_in_bytes="2000\n")
    write(memory, memory__limit_in_bytes="9223372036854771712\n", memory__usage_in_bytes="7\n")
    assert cgroup.cpu_quota(groups.proc) == 4.0
    assert cgroup.memory_left(groups.proc) == 6000


def test_cgroup_inside_a_container(groups):
    """A container that shows its group as the mount's root, under the host's path, is read at that root."""
    root = groups.mount("inside", "cgroup2", root="/system.slice/docker-1.scope")
    groups.own("0::/system.slice/docker-1.scope\n")
    write(root, cpu__max="50000 100000\n", memory__max="4000\n", memory__current="5000\n")
    assert cgroup.cpu_quota(groups.proc) == 0.5
    assert cgroup.memory_left(groups.proc) == 0


def test_kills_for_want_of_memory(groups):
    """Version 2 counts them in the group, version 1 too if its group is seen; otherwise the machine's count stands."""
    (groups.proc.parent / "vmstat").write_text("nr_free_pages 9\noom_kill 40\n")
    memory = groups.mount("memory", "cgroup", "rw,memory")
    write(memory, memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    write(memory / "job", memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    groups.own("4:memory:/job\n0::/\n")
    assert cgroup.oom_kills(groups.proc) == 2
    groups.own("4:memory:/hidden\n0::/\n")
    assert cgroup.oom_kills(groups.proc) == 40
    root = groups.mount("unified", "cgroup2")
    write(root / "job", memory__events="low 0\noom 5\noom_kill 3\noom_group_kill 0\n")
    groups.own("0::/job\n")
    assert cgroup.oom_kills(groups.proc) == 3
    (groups.proc.parent / "vmstat").unlink()
    groups.own("0::/gone\n")
    assert cgroup.oom_kills(groups.proc) is None


@pytest.mark.parametrize("own", ["0::/\n", "0::/../elsewhere\n", "0::/gone\n", ""])
def test_no_limits(groups, own):
    """Where nothing limits, or nothing can be read, there is no limit."""
    groups.mount("free", "cgroup2")
    groups.own(own)
    assert cgroup.cpu_quota(groups.proc) is None
    assert cgroup.memory_left(groups.proc) is None
    assert cgroup.memory_left(groups.proc / "absent") is None
