"""The token language: what is written can be read, and only what can be read can be written."""

import itertools
from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm

from pyannote_drz.tokens import MAX_TRIPLETS, Vocabulary

settings.register_profile("busy", deadline=None)  # a busy machine is not a failure
settings.load_profile("busy")

VOCABULARY = Vocabulary()  # 30 s, 20 ms, A to H
RESOLUTION = VOCABULARY.resolution
DURATION = VOCABULARY.duration
LONGEST = 3 * MAX_TRIPLETS + 1


def annotate(*turns: tuple[float, float, object]) -> Annotation:
    annotation = Annotation()
    for track, (start, end, label) in enumerate(turns):
        annotation[Segment(start, end), track] = label
    return annotation


# 40 turns at most, so that all conversations fit; some reach beyond the edges of the chunk.
turns = st.tuples(st.floats(-5.0, 35.0), st.floats(0.001, 12.0), st.sampled_from("zyxwvuts")).map(
    lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2])
)
# Turns on a coarse grid: many start or end together.
coarse_turns = st.tuples(st.integers(-1, 8), st.integers(1, 6), st.sampled_from("zyxwvuts")).map(
    lambda drawn: (0.6 * drawn[0], 0.6 * (drawn[0] + drawn[1]), drawn[2])
)
conversations = st.one_of(st.lists(turns, max_size=40), st.lists(coarse_turns, max_size=40))


# Seconds of prompts; those of eight people leave room for half of a chunk.
prompt_lengths = st.lists(st.floats(0.1, 1.5), max_size=8)


def prompt_spans(lengths: list[float]) -> list[tuple[float, float]]:
    """(start, end) of prompts of that many seconds, each with its 200 ms of silence."""
    spans, at = [], 0.0
    for length in lengths:
        spans.append((at, at + length))
        at += length + 0.2
    return spans


def window(conversation: list[tuple], labels: list, lengths: list[float]) -> list[int]:
    """Tokens of a window: prompts, as many as there are lengths, and then a conversation."""
    spans = prompt_spans(lengths)
    begin = spans[-1][1] + 0.2 if spans else 0.0
    turns = [(begin + max(s, 0.0), begin + e, label) for s, e, label in conversation if e > 0]
    triplets, _ = VOCABULARY.triplets(turns, labels[: len(spans)])
    return VOCABULARY.from_triplets(VOCABULARY.given(spans) + triplets)


def forbidden(vocabulary: Vocabulary, sequences: list[list[int]], **grammar) -> list[tuple]:
    """(row, step, token) of all tokens that the grammar forbids, each where it first occurs."""
    if not sequences:
        return []
    grammar = vocabulary.grammar(batch_size=len(sequences), **grammar)
    padded = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(tokens) for tokens in sequences], batch_first=True, padding_value=0
    )
    found = {}
    for step, tokens in enumerate(padded.T):
        allowed = grammar.mask().gather(1, tokens[:, None])[:, 0]
        for row in (~allowed).nonzero()[:, 0].tolist():
            found.setdefault(row, (row, step, tokens[row].item()))
        grammar.advance(tokens)
    assert grammar.over
    return list(found.values())


def walk(grammar, choose) -> list[list[int]]:
    """Write until all rows have ended; `choose(allowed, step)` picks tokens out of a mask."""
    written = []
    while not grammar.over:
        allowed = grammar.mask()
        assert allowed.any(1).all(), f"dead end after {torch.stack(written, 1).tolist()}"
        tokens = choose(allowed, len(written))
        assert allowed.gather(1, tokens[:, None]).all()
        grammar.advance(tokens)
        written.append(tokens)
        assert len(written) <= LONGEST
    return torch.stack(written, 1).tolist()


def talkative(allowed: torch.Tensor) -> torch.Tensor:
    """Without eos, where anything else is allowed."""
    without = allowed.clone()
    without[:, VOCABULARY.eos] = False
    return torch.where(without.any(1, keepdim=True), without, allowed)


def lowest(allowed, step):
    return talkative(allowed).int().argmax(1)


def highest(allowed, step):
    return allowed.shape[1] - 1 - talkative(allowed).int().flip(1).argmax(1)


def turn_by_turn(start, end, speaker):
    """Other extremes for each phase."""
    return lambda allowed, step: (start, end, speaker)[step % 3](allowed, step)


# ---- layout -------------------------------------------------------------------------------------


def test_layout():
    assert (VOCABULARY.pad, VOCABULARY.eos) == (0, 1)
    assert VOCABULARY.num_bins == 1501
    assert VOCABULARY.max_tokens == LONGEST == 193
    assert VOCABULARY.labels == "ABCDEFGH"
    assert len(VOCABULARY) == 2 + 1501 + 8
    ids = list(range(len(VOCABULARY)))
    assert [0, 1] + ids[VOCABULARY.times] + ids[VOCABULARY.speakers] == ids


@pytest.mark.parametrize(
    "wrong, value",
    [
        ({"resolution": 0.0}, "0.0"),
        ({"resolution": -0.02}, "-0.02"),
        ({"resolution": 31.0}, "31.0"),
        ({"duration": 0.03}, "0.03"),
        ({"duration": -1.0}, "-1.0"),
        ({"max_speakers": 0}, "0"),
        ({"max_speakers": 27}, "27"),
    ],
)
def test_bad_vocabulary(wrong, value):
    with pytest.raises(ValueError, match=value):
        Vocabulary(**wrong)


# ---- annotation -> tokens -----------------------------------------------------------------------


def test_example():
    tokens = VOCABULARY.encode(
        annotate((0.5, 2.0, "alice"), (1.0, 1.5, "carl"), (1.8, 4.0, "bob"), (6.0, 7.0, "carl"))
    )
    bins, letters = VOCABULARY.first_time, VOCABULARY.first_speaker
    assert tokens == [
        *(bins + 25, bins + 100, letters),
        *(bins + 50, bins + 75, letters + 1),
        *(bins + 90, bins + 200, letters + 2),
        *(bins + 300, bins + 350, letters + 1),
        VOCABULARY.eos,
    ]  # fmt: skip


def test_nobody_speaks():
    assert VOCABULARY.encode(Annotation()) == [VOCABULARY.eos]
    assert VOCABULARY.encode(Annotation(), prompted=["alice"]) == [VOCABULARY.eos]
    assert not VOCABULARY.decode([VOCABULARY.eos])


def test_arrival_order():
    """The first to arrive is A, and of two who arrive together, the first to leave."""
    _, labels = VOCABULARY.triplets([(5, 6, "late"), (0, 9, "long"), (0, 3, "short")])
    assert labels == ["short", "long", "late"]


def test_arrival_order_is_that_of_bins():
    """Nobody can tell 3 ms: within the same bin, whoever leaves first arrives first."""
    _, labels = VOCABULARY.triplets([(1.0, 5.0, "early"), (1.003, 2.0, "a moment later")])
    assert labels == ["a moment later", "early"]


def test_twins_are_told_apart_by_their_labels():
    assert VOCABULARY.triplets([(0, 1, "b"), (0, 1, "a")])[1] == ["a", "b"]


def test_prompted_labels_own_the_first_letters():
    turns = [(0, 1, "x"), (2, 3, "bob"), (4, 5, "w")]
    triplets, labels = VOCABULARY.triplets(turns, prompted=["carl", "bob"])
    assert labels == ["carl", "bob", "x", "w"]  # Carl says nothing, and is C no less
    assert [speaker for _, _, speaker in triplets] == [2, 1, 3]
    tokens = VOCABULARY.encode(annotate(*turns), prompted=["carl", "bob"])
    assert VOCABULARY.decode(tokens).labels() == ["B", "C", "D"]


def test_prompted_twice():
    with pytest.raises(ValueError, match="bob"):
        VOCABULARY.encode(Annotation(), prompted=["bob", "bob"])


@given(prompt_lengths)
def test_prompts_are_given_as_if_the_conversation_had_begun_so(lengths):
    spans = prompt_spans(lengths)
    turns = [(*span, speaker) for speaker, span in enumerate(spans)]
    triplets = VOCABULARY.given(spans)
    assert (triplets, list(range(len(spans)))) == VOCABULARY.triplets(turns)
    for (start, end, _), span in zip(triplets, spans, strict=True):
        assert (start * RESOLUTION, end * RESOLUTION) == pytest.approx(span, abs=0.501 * RESOLUTION)


def test_clipping():
    turns = [(-3.0, 2.0, "a"), (28.0, 40.0, "b"), (-2.0, -1.0, "c"), (30.0, 31.0, "d")]
    triplets, labels = VOCABULARY.triplets(turns)
    assert triplets == [(0, 100, 0), (1400, 1500, 1)]
    assert labels == ["a", "b"]  # who speaks outside of the chunk takes no letter


def test_turns_within_a_bin_disappear():
    assert VOCABULARY.triplets([(1.0, 1.009, "a")]) == ([], [])


@pytest.mark.parametrize("gap, num_turns", [(0.0, 1), (0.02, 1), (0.48, 1), (0.5, 2), (2.0, 2)])
def test_merging(gap, num_turns):
    turns = [(1.0, 2.0, "a"), (2.0 + gap, 9.0, "a")]
    assert len(VOCABULARY.triplets(turns)[0]) == num_turns


def test_merging_overlapping_turns_of_one_speaker():
    turns = [(1.0, 8.0, "a"), (2.0, 3.0, "a"), (7.0, 9.0, "a")]
    assert VOCABULARY.triplets(turns)[0] == [(50, 450, 0)]


def test_merging_leaves_other_speakers_alone():
    turns = [(1.0, 2.0, "a"), (2.1, 2.3, "b"), (2.4, 4.0, "a")]
    assert VOCABULARY.triplets(turns)[0] == [(50, 200, 0), (105, 115, 1)]


def test_too_many_speakers():
    turns = [(i, i + 0.8, f"speaker {i}") for i in range(9)]
    VOCABULARY.triplets(turns[:8])
    with pytest.raises(ValueError, match="8 speakers, got 9"):
        VOCABULARY.triplets(turns)
    with pytest.raises(ValueError, match="8 speakers, got 9"):
        VOCABULARY.triplets(turns[:8], prompted=["absent"])


def test_too_many_turns():
    turns = [(0.4 * i, 0.4 * i + 0.2, i % 2) for i in range(MAX_TRIPLETS + 1)]
    assert len(VOCABULARY.from_triplets(VOCABULARY.triplets(turns[:-1])[0])) == LONGEST
    with pytest.raises(ValueError, match="64 turns, got 65"):
        VOCABULARY.triplets(turns)


@given(conversations, st.randoms())
def test_order_of_turns_does_not_matter(conversation, random):
    shuffled = random.sample(conversation, len(conversation))
    assert VOCABULARY.encode(annotate(*conversation)) == VOCABULARY.encode(annotate(*shuffled))


# ---- there and back -----------------------------------------------------------------------------


@given(conversations)
def test_round_trip_is_exact_up_to_a_bin(conversation):
    """What is lost or added lies within a bin, or in a short pause of the same speaker."""
    annotation = annotate(*conversation)
    _, labels = VOCABULARY.triplets(conversation)
    decoded = VOCABULARY.decode(VOCABULARY.encode(annotation))
    assert set(decoded.labels()) <= set(VOCABULARY.labels)
    chunk = Segment(0, DURATION)
    for label in annotation.labels():
        spoken = annotation.crop(chunk).label_timeline(label).support()
        written = Timeline()
        if label in labels:
            written = decoded.label_timeline(VOCABULARY.labels[labels.index(label)])
        lost, added = spoken.extrude(written), written.extrude(spoken)
        assert all(segment.duration <= RESOLUTION + 1e-6 for segment in lost)
        pauses = spoken.gaps(support=spoken.extent())
        for segment in added:
            pause = [gap.duration for gap in pauses if gap.intersects(segment)]
            assert segment.duration <= RESOLUTION / 2 + 1e-6 or min(pause) < 0.5 + RESOLUTION


@given(conversations)
def test_round_trip_of_tokens(conversation):
    tokens = VOCABULARY.encode(annotate(*conversation))
    assert VOCABULARY.encode(VOCABULARY.decode(tokens)) == tokens
    assert VOCABULARY.from_triplets(VOCABULARY.to_triplets(tokens)) == tokens


@given(conversations, st.permutations("zyxwvuts"), st.integers(0, 8))
def test_round_trip_of_tokens_with_prompts(conversation, labels, num_prompted):
    prompted = labels[:num_prompted]
    tokens = VOCABULARY.encode(annotate(*conversation), prompted)
    letters = VOCABULARY.labels[:num_prompted]
    assert VOCABULARY.encode(VOCABULARY.decode(tokens), letters) == tokens


@given(conversations)
def test_triplets_are_sorted_and_speakers_arrive_in_order(conversation):
    tokens = VOCABULARY.encode(annotate(*conversation))
    triplets = VOCABULARY.to_triplets(tokens)
    assert tokens[-1] == VOCABULARY.eos
    assert len(tokens) == 3 * len(triplets) + 1
    assert triplets == sorted(set(triplets))
    arrivals = list(dict.fromkeys(speaker for _, _, speaker in triplets))
    assert arrivals == list(range(len(arrivals)))


@given(conversations)
def test_no_short_pause_is_left(conversation):
    spans = defaultdict(list)
    for start, end, speaker in VOCABULARY.triplets(conversation)[0]:
        spans[speaker].append((start, end))
    for turns in spans.values():
        assert all(b[0] - a[1] >= 25 for a, b in itertools.pairwise(turns))


def test_decode_reads_up_to_the_end():
    tokens = VOCABULARY.encode(annotate((0, 1, "a")))
    expected = VOCABULARY.decode(tokens)
    assert list(expected.itertracks(yield_label=True)) == [(Segment(0, 1), 0, "A")]
    assert VOCABULARY.decode(tokens[:-1]) == expected
    assert VOCABULARY.decode(tokens + [0, 0, 7]) == expected
    assert VOCABULARY.decode(torch.tensor(tokens + [0])) == expected


T, S = VOCABULARY.first_time, VOCABULARY.first_speaker


@pytest.mark.parametrize(
    "tokens, value",
    [
        ([T], "got 1"),
        ([T, T + 1, 1], "got 2"),
        ([T, T + 1, S, T + 2], "got 4"),
        ([T + 5, T + 5, S], str(T + 5)),  # ends when it starts
        ([T + 5, T + 4, S], str(T + 4)),  # ends before
        ([T, T + 1, T + 2], str(T + 2)),  # a time where a speaker is due
        ([S, T + 1, S], str(S)),  # a speaker where a time is due
        ([T, S, S], str(S)),
        ([T, T + 1, S + 8], str(S + 8)),  # beyond the vocabulary
        ([-1, T + 1, S], "-1"),
    ],
)
def test_bad_tokens(tokens, value):
    with pytest.raises(ValueError, match=value):
        VOCABULARY.decode(tokens)


# ---- grammar ------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.lists(st.tuples(conversations, prompt_lengths), min_size=1, max_size=4),
    st.permutations("zyxwvuts"),
)
def test_what_is_encoded_is_allowed(batch, labels):
    """Chunks with and without prompts, side by side."""
    assert not forbidden(VOCABULARY, [window(turns, labels, lengths) for turns, lengths in batch])


def test_most_triplets_are_allowed():
    turns = [(0.4 * i, 0.4 * i + 0.2, i % 2) for i in range(MAX_TRIPLETS)]
    assert not forbidden(VOCABULARY, [VOCABULARY.encode(annotate(*turns))])


@pytest.mark.parametrize("step", [30.0, 17.0])
def test_real_windows(shared, step):
    """All 30-s windows of AMI's development references can be written, and by the grammar."""
    rttms = sorted((shared / "ami" / "only_words" / "rttms" / "dev").glob("*.rttm"))
    if not rttms:
        pytest.skip(f"no AMI references in {shared}")
    sequences = []
    for rttm in rttms:
        (reference,) = load_rttm(rttm).values()
        labels = reference.labels()
        tracks = list(reference.itertracks(yield_label=True))
        for i in range(int(reference.get_timeline().extent().end / step) + 1):
            heard = Segment(i * step, i * step + DURATION)
            turns = [
                (segment.start - heard.start, segment.end - heard.start, label)
                for segment, _, label in tracks
                if segment.intersects(heard)
            ]
            prompted = labels[: i % 5]
            tokens = VOCABULARY.encode(annotate(*turns), prompted)
            letters = VOCABULARY.labels[: len(prompted)]
            assert VOCABULARY.encode(VOCABULARY.decode(tokens), letters) == tokens
            sequences.append(window(turns, labels, [0.5] * len(prompted)))
    assert len(sequences) > 1000
    assert max(map(len, sequences)) <= 3 * 32 + 1  # ANCHORS.md: 27 at most; room to spare
    assert not forbidden(VOCABULARY, sequences)


def all_sentences(vocabulary: Vocabulary, **grammar) -> set[tuple]:
    """Everything that the grammar lets one write, by trying everything."""
    sentences, prefixes = set(), [()]
    while prefixes:
        longer = []
        state = vocabulary.grammar(len(prefixes), **grammar)
        for step in range(len(prefixes[0])):
            state.advance(torch.tensor([prefix[step] for prefix in prefixes]))
        for prefix, allowed in zip(prefixes, state.mask(), strict=True):
            assert allowed.any(), f"dead end after {prefix}"
            for token in allowed.nonzero()[:, 0].tolist():
                sentence = (*prefix, token)
                (sentences.add if token == vocabulary.eos else longer.append)(sentence)
        prefixes = longer
    return sentences


@pytest.mark.parametrize("max_speakers", [1, 2, 3])
@pytest.mark.parametrize("num_bins", [1, 2, 3])
def test_grammar_is_the_language(num_bins, max_speakers):
    """All strictly increasing lists of triplets where letters come in order, and nothing else."""
    vocabulary = Vocabulary(duration=0.08, resolution=0.02, max_speakers=3)
    spans = itertools.combinations(range(num_bins), 2)
    triplets = [(*span, speaker) for span in spans for speaker in range(max_speakers)]
    expected = set()
    for chosen in itertools.product([False, True], repeat=len(triplets)):
        sentence = list(itertools.compress(triplets, chosen))
        used = 0
        for _, _, speaker in sentence:
            if speaker > used:
                break
            used = max(used, speaker + 1)
        else:
            expected.add(tuple(vocabulary.from_triplets(sentence)))
    actual = all_sentences(vocabulary, num_bins=num_bins, max_speakers=max_speakers)
    assert actual == expected


STRATEGIES = {
    "lowest": lowest,
    "highest": highest,
    "highest speaker": turn_by_turn(lowest, lowest, highest),
    "latest end": turn_by_turn(lowest, highest, lowest),
    "latest end, highest speaker": turn_by_turn(lowest, highest, highest),
    "latest start": turn_by_turn(highest, lowest, lowest),
    "latest start, highest speaker": turn_by_turn(highest, lowest, highest),
}


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_adversarial_walks(strategy):
    """Whoever never says <eos> by choice is made to, and what was written can be read."""
    cases = list(itertools.product([1, 2, 3, 4, 9, 30, 1501], [1, 2, 3, 8]))
    num_bins, max_speakers = torch.tensor(cases).T
    grammar = VOCABULARY.grammar(len(cases), num_bins, max_speakers)
    for case, tokens in zip(cases, walk(grammar, strategy), strict=True):
        check_walk(tokens, *case)


def check_walk(tokens: list[int], num_bins: int, max_speakers: int):
    triplets = VOCABULARY.to_triplets(tokens)
    assert len(VOCABULARY.decode(tokens)) <= len(triplets) <= MAX_TRIPLETS
    assert triplets == sorted(set(triplets))  # strictly increasing: nothing is said twice
    used = 0
    for _, end, speaker in triplets:
        assert end < num_bins
        assert speaker <= used
        used = max(used, speaker + 1)
    assert used <= max_speakers
    body = VOCABULARY.from_triplets(triplets)
    assert tokens == body + [VOCABULARY.pad] * (len(tokens) - len(body))


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 8)), min_size=1, max_size=8),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_random_walks(cases, seed, chatty):
    generator = torch.Generator().manual_seed(seed)
    num_bins, max_speakers = torch.tensor(cases).T
    grammar = VOCABULARY.grammar(len(cases), num_bins, max_speakers)

    def choose(allowed, step):
        weights = (talkative(allowed) if chatty else allowed).float()
        return weights.multinomial(1, generator=generator)[:, 0]

    for case, tokens in zip(cases, walk(grammar, choose), strict=True):
        check_walk(tokens, *case)


def test_rows_are_independent():
    cases = [(2, 1), (30, 8), (1501, 4), (9, 2)]
    num_bins, max_speakers = torch.tensor(cases).T

    def pick(allowed, step):  # depends on its own row only
        return (talkative(allowed).float() * ((torch.arange(len(VOCABULARY)) * 31 + step) % 17 + 1)
                ).argmax(1)  # fmt: skip

    together = walk(VOCABULARY.grammar(4, num_bins, max_speakers), pick)
    for row, (bins, letters) in enumerate(cases):
        (alone,) = walk(VOCABULARY.grammar(1, bins, letters), pick)
        assert together[row][: len(alone)] == alone
        assert set(together[row][len(alone) :]) <= {VOCABULARY.pad}


def test_end_is_allowed_where_a_triplet_may_begin():
    grammar = VOCABULARY.grammar()
    for token, end_allowed in [(T, True), (T + 1, False), (S, False), (1, True)]:
        assert grammar.mask()[0, VOCABULARY.eos] == end_allowed
        grammar.advance(torch.tensor([token]))
    assert grammar.over
    assert grammar.mask().nonzero().tolist() == [[0, VOCABULARY.pad]]


@pytest.mark.parametrize(
    "wrong, value",
    [
        ({"max_speakers": 0}, "0"),
        ({"max_speakers": torch.tensor([8, 0])}, "8, 0"),
    ],
)
def test_bad_grammar(wrong, value):
    with pytest.raises(ValueError, match=value):
        VOCABULARY.grammar(2, **wrong)


@pytest.mark.parametrize("limits", [{"max_speakers": 9}, {"num_bins": 1502}, {"num_bins": 1600}])
def test_limits_beyond_the_vocabulary_are_no_dead_end(limits):
    grammar = VOCABULARY.grammar(1, **limits)
    # 0 to 30 s, by everybody: all that can be said of that span is said.
    everybody = turn_by_turn(highest, highest, lowest)
    (tokens,) = walk(grammar, everybody)
    assert {speaker for _, _, speaker in VOCABULARY.to_triplets(tokens)} == set(range(8))
