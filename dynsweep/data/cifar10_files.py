"""Names and sizes of the published binary version of CIFAR-10."""

RECORD = 1 + 3 * 32 * 32
RECORDS = 10_000  # of a published file
TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = "test_batch.bin"
FOLDER = "cifar-10-batches-bin"  # of the published archive
