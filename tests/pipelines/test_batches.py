"""Batches: windows of many files, as long as each other."""

from pyannote_drz.models.encoders import Features
from pyannote_drz.pipelines.batches import Step, run
from pyannote_drz.pipelines.chunks import ChunkRequest, ChunkResult
from pyannote_drz.prompting import Prompts, lay_out


def chunk(num_positions: int, prompts: Prompts | None = None) -> ChunkRequest:
    features = Features.silence(num_positions)
    return ChunkRequest(features, 4, *([] if prompts is None else [prompts]))


def batches_of(*files: list[ChunkRequest], batch_size: int = 8) -> list[list[int]]:
    """Lengths of windows in the order in which they were written."""

    def job(requests: list[ChunkRequest]):
        results = yield Step("chunks", requests)
        return results

    def decode(requests: list[ChunkRequest]) -> list[ChunkResult]:
        batches.append([request.num_positions for request in requests])
        return requests  # whatever was written

    batches = []
    jobs = [(job(requests), lambda *args, **kwargs: None) for requests in files]
    for told, expected in zip(run(jobs, decode, batch_size), files, strict=True):
        assert all(a is b for a, b in zip(told, expected, strict=True))
    return batches


def test_files_share_batches():
    some = [chunk(10) for _ in range(3)]
    assert batches_of(some, some, some, batch_size=4) == [[10] * 4, [10] * 4, [10]]


def test_prompts_of_different_lengths_are_not_in_one_batch():
    """Windows are not padded: nobody would have been trained with that."""
    short, long = (lay_out([Features.silence(n)]) for n in (3, 9))
    one = [chunk(10, short), chunk(10, long), chunk(10, long)]
    for batch in batches_of(one, [chunk(10), chunk(10, short)]):
        assert len(set(batch)) == 1
    assert batches_of(one) == [[16], [22] * 2]


def test_chunks_of_different_lengths_share_a_batch_where_windows_are_as_long():
    prompts = lay_out([Features.silence(3)])
    assert batches_of([chunk(16), chunk(10, prompts)]) == [[16, 16]]
