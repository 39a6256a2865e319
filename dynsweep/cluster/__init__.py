"""One sweep shared among processes: several GPUs of a machine, or the tasks of a cluster.

    jobs -> shares of even work -> workers (local processes, or tasks through submitit) -> store

A *share* is the runs that one worker trains. Workers never talk to each other: each writes its
own files in the sweep directory, and whoever started them reads there.
"""
