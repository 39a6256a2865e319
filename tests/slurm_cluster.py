"""A real Slurm cluster of three virtual nodes on this machine, private to a folder."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NODES = ("n1", "n2", "n3")
MARK = "SLURM_TEST_DAEMON"
CONFIG = """\
ClusterName=dynsweep
SlurmctldHost=localhost
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
MailProg=/bin/true
ReturnToService=1
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait={kill_wait}
SlurmdTimeout=6
MinJobAge=86400
MaxArraySize={array}
SchedulerParameters=sched_interval=5,bf_interval=5
{nodes}
PartitionName=debug Nodes=n[1-3] Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=10
PartitionName=high Nodes=n[1-3] MaxTime=INFINITE PriorityTier=10
"""
# submitit, and so the stock launcher, asks sacct, which needs an accounting database.
SACCT = """\
#!/bin/sh
echo 'JobID|State|NodeList'
exec squeue -h -r -t all -o '%i|%T|%N'
"""


def available() -> str | None:
    """Why no cluster can be started here; ``None`` if one can."""
    missing = [name for name in ("slurmctld", "slurmd", "srun") if shutil.which(name) is None]
    if missing:
        return f"Slurm is not installed ({', '.join(missing)} missing): apt install slurm-wlm"
    return None


class Cluster:
    """Controls the daemons; ``env`` is what clients need."""

    def __init__(self, root: Path, array: int = 101, kill_wait: int = 2) -> None:
        self.root = root
        ports = free_ports(1 + len(NODES))
        names = "\n".join(
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port}"
            " CPUs=4 RealMemory=4000"
            for node, port in zip(NODES, ports[1:], strict=True)
        )
        for folder in ("state", "log", "bin", *(f"spool-{node}" for node in NODES)):
            (root / folder).mkdir(parents=True)
        text = CONFIG.format(
            root=root,
            port=ports[0],
            user=getpass.getuser(),
            nodes=names,
            array=array,
            kill_wait=kill_wait,
        )
        (root / "slurm.conf").write_text(text)
        (root / "bin" / "sacct").write_text(SACCT)
        (root / "bin" / "sacct").chmod(0o755)
        # The interpreter of the tests finds dynsweep; its own folder comes first for `python`.
        path = [str(root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "HYDRA"))},
            "SLURM_CONF": str(root / "slurm.conf"),
            "PATH": os.pathsep.join(path),
        }
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.guard: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # Its input ends with this process, however that ends; then it ends the cluster.
        self.guard = subprocess.Popen(
            [sys.executable, __file__, "--guard", str(self.root)],
            stdin=subprocess.PIPE, start_new_session=True,
            env={k: v for k, v in os.environ.items() if k != "SLURM_CONF"},
        )  # fmt: skip
        self._daemon("slurmctld", "slurmctld", "-D", "-c")
        for node in NODES:
            self.start_node(node)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            states = self.run("sinfo", "-h", "-N", "-p", "debug", "-o", "%T", check=False).split()
            if len(states) == len(NODES) and set(states) == {"idle"}:
                return
            time.sleep(0.2)
        raise RuntimeError(f"Slurm did not start; see {self.root}/log")

    def start_node(self, node: str) -> None:
        self._daemon(node, "slurmd", "-D", "-N", node)

    def _daemon(self, name: str, *command: str) -> None:
        # What a slurmd starts inherits the mark, by which it is found again.
        env = {**self.env, MARK: name}
        with open(self.root / "log" / f"{name}.out", "ab") as out:
            self.daemons[name] = subprocess.Popen(
                command, env=env, stdout=out, stderr=out, start_new_session=True
            )

    def run(self, *command: str, check: bool = True) -> str:
        """Standard output of a client."""
        done = subprocess.run(
            command, env=self.env, check=check, capture_output=True, text=True, timeout=60
        )
        return done.stdout

    def queue(self) -> dict[str, str]:
        """State of every task, by id (``12_3``)."""
        lines = self.run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T").split()
        return dict(line.split("|") for line in lines)

    def processes(self, node: str) -> list[int]:
        """What runs on a node; those that watch over tasks first, lest they tell of their end."""
        watchers, others = [], []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                variables = (folder / "environ").read_bytes().split(b"\0")
                if f"SLURM_CONF={self.root}/slurm.conf".encode() not in variables:
                    continue
                command = (folder / "cmdline").read_bytes()
                if f"{MARK}={node}".encode() in variables and command.startswith(b"slurmstepd"):
                    watchers.append(int(folder.name))
                elif f"SLURMD_NODENAME={node}".encode() in variables:
                    others.append(int(folder.name))
        return watchers + others

    def fail(self, node: str) -> None:
        """The node dies with all that runs on it, as when its power is cut."""
        doomed = self.processes(node)
        self.daemons[node].kill()
        self.daemons[node].wait()
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def recover(self, node: str) -> None:
        self.start_node(node)
        self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)

    @contextmanager
    def without_controller(self) -> Iterator[None]:
        """Tasks go on, and no client has an answer."""
        self.daemons["slurmctld"].terminate()
        self.daemons["slurmctld"].wait()
        try:
            yield
        finally:
            self._daemon("slurmctld", "slurmctld", "-D")  # with the state it had
            deadline = time.monotonic() + 30
            while not self.run("sinfo", "-h", check=False) and time.monotonic() < deadline:
                time.sleep(0.2)

    def stop(self) -> None:
        self.run("scancel", "--state=PENDING", check=False)
        for node in NODES:
            for pid in self.processes(node):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for daemon in self.daemons.values():
            daemon.kill()
            daemon.wait()
        if self.guard is not None:
            self.guard.communicate(timeout=60)


def end_all(root: Path) -> None:
    """Kill what belongs to a cluster: daemons, what watches over tasks, and tasks."""
    conf, marks = f"SLURM_CONF={root}/slurm.conf", (f"{MARK}=", "SLURMD_NODENAME=")
    while True:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                variables = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                if conf in variables and any(one.startswith(marks) for one in variables):
                    found.append(int(folder.name))
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def cluster(root: Path, array: int = 101, kill_wait: int = 2) -> Iterator[Cluster]:
    made = Cluster(root, array, kill_wait)
    try:
        made.start()
        yield made
    finally:
        made.stop()


if __name__ == "__main__":  # a cluster to try things by hand: python tests/slurm_cluster.py FOLDER
    if sys.argv[1] == "--guard":
        sys.stdin.read()
        end_all(Path(sys.argv[2]))
        sys.exit()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with contextlib.suppress(KeyboardInterrupt), cluster(Path(sys.argv[1]).absolute()) as running:
        print(f"export SLURM_CONF={running.env['SLURM_CONF']} PATH={running.root}/bin:$PATH")
        sys.stdout.flush()
        signal.pause()
