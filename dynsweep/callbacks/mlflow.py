"""``+callbacks=mlflow``: an MLflow run per run, with settings as parameters."""

import fcntl
import math
import os
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from dynsweep.callbacks.patience import Patient, within
from dynsweep.callbacks.runs import Logged, Tracker
from dynsweep.store import FAILED

MOST = 1000  # metrics that MLflow takes at once
ENDED = ("FINISHED", "FAILED")


class MLflow(Tracker):
    """Logs to a database or a server. A server is asked before anything is trained.

    Args:
        uri: of the tracking store; the SQLite file ``mlflow.db`` in the sweep directory if not
            given.
        experiment: name of the experiment, made if it is not there.
        patience: seconds that are waited for it in all.
    """

    def __init__(
        self, uri: str | None = None, experiment: str = "dynsweep", patience: float = 10
    ) -> None:
        super().__init__("mlflow", "MLflow", patience)
        self.uri, self.experiment = uri, experiment
        # Its own are two minutes, and seven retries that wait ever longer.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(math.ceil(patience) + 1))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        if uri and not _is_file(uri):
            from mlflow import MlflowClient

            self.refuse_without(
                "uri", uri, lambda: MlflowClient(uri).get_experiment_by_name(experiment)
            )

    def log(self, run: Logged) -> None:
        from mlflow.entities import Metric, Param

        record, directory = run.record, run.directory.resolve()
        uri = self.uri or f"sqlite:///{directory / 'mlflow.db'}"
        # Artifacts, which there are none of, would otherwise get a folder where one happens to be.
        place = None if self.uri else (directory / "mlflow").as_uri()
        with (directory / ".mlflow.lock").open("w") as lock:
            # Processes of one sweep would make the tables of a new database at the same time.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_file(uri):
                client, experiment = _connect(uri, self.experiment, place)
            else:
                connect = partial(_connect, uri, self.experiment, place)
                connected, experiment = within(self.patience, connect)
                client = Patient(connected, self.patience)
        facts = ("id", "status", "finished", "engine", "error")
        tags = {f"dynsweep.{name}": str(record[name]) for name in facts}
        tags["dynsweep.directory"] = str(directory)
        same = client.search_runs([experiment], f"tags.`dynsweep.id` = '{record['id']}'")
        same = [logged for logged in same if tags.items() <= logged.data.tags.items()]
        if any(logged.info.status in ENDED for logged in same):
            return
        end = int(datetime.fromisoformat(record["finished"]).timestamp() * 1000)
        # One that was cut short is gone on with; what it has, MLflow leaves as it is.
        begun = same[0] if same else client.create_run(
            experiment,
            start_time=end - int(record["seconds"] * 1000),
            tags=tags,
            run_name=" ".join(run.words),
        )  # fmt: skip
        number = begun.info.run_id
        params = [Param(name, str(value)) for name, value in run.settings.items()]
        metrics = [
            Metric(name, value, end, step)
            for name, values in run.curves.items()
            for step, value in values.items()
        ]
        client.log_batch(number, metrics[:MOST], params)
        for first in range(MOST, len(metrics), MOST):
            client.log_batch(number, metrics[first : first + MOST])
        status = "FAILED" if record["status"] == FAILED else "FINISHED"
        client.set_terminated(number, status, end)


def _is_file(uri: str) -> bool:
    """Whether it is a database that always answers; the first time it takes seconds to make."""
    return uri.startswith("sqlite:")


@lru_cache(maxsize=1)
def _connect(uri: str, name: str, place: str | None) -> tuple[Any, str]:
    """The client, and the experiment's number; opening a database takes seconds."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    known = client.get_experiment_by_name(name)
    return client, known.experiment_id if known else client.create_experiment(name, place)
