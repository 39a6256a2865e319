"""One sweep shared among processes: several GPUs of a machine, or the tasks of a cluster.

    runs -> shards of even work -> workers (of this machine, or in tasks of Slurm) -> store

A *shard* is the runs that one worker trains. Workers never talk to each other: each writes its
own files in the sweep directory, and whoever started them reads there.
"""
