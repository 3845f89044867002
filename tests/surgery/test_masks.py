"""Which padding mask counts for an inserted layer, and what is refused where nothing says so."""

import copy

import pytest
import torch
from torch import nn

from dsptorch import FIR, AtRate, Multirate, insert, remove, segmented, streaming
from dsptorch.surgery.insertion.inserted import InsertedForward
from tests import zoo
from tests.surgery.mask_models import PIXELS
from tests.surgery.models import draw, small
from tests.tolerances import assert_close, assert_same

WIDTH = 16
REFUSED = "cannot tell which samples are padding"


def both_ways(_=None):
    return Multirate(WIDTH, causal=False).double()


def block(**options):
    """A block that is called with an attention mask, of which it makes nothing; its layer looks both ways."""
    torch.manual_seed(0)
    inner = small(
        lambda self, x, attention_mask=None: x + self.mix(x), mix=nn.Linear(WIDTH, WIDTH, dtype=torch.float64)
    )
    model = small(lambda self, x, mask=None, padding=None: self.block(x, attention_mask=mask), block=inner)
    insert(model, "block", both_ways, **options)
    return model


def causal(time, rows=None):
    return torch.ones(time if rows is None else rows, time, dtype=torch.bool).tril()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64])
@pytest.mark.parametrize("kind", ["ones", "additive"])
def test_a_padding_mask_is_read_in_each_format(dtype, kind):
    model, x = block(), draw(2, 6, WIDTH).double()
    real = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    if kind == "additive":
        dtype = torch.float32 if dtype is torch.bool else torch.float16 if dtype is torch.int64 else dtype
        mask = torch.zeros(2, 6, dtype=dtype).masked_fill(
            real == 0, torch.finfo(dtype).min if dtype.itemsize < 8 else -torch.inf
        )
    else:
        mask = real.to(dtype)
    y = model(x, mask)
    assert_close(y[1, :4], model(x[1:, :4])[0])
    assert not torch.allclose(y[1, :4], model(x)[1, :4])
    assert_same(model(x, torch.zeros_like(mask) if kind == "additive" else torch.ones_like(mask)), model(x))


def test_a_causal_mask_is_not_taken_for_padding():
    """(time, time) with another batch is no padding mask; with an equal one nobody can tell."""
    model, x = block(), draw(6, 6, WIDTH).double()
    assert_same(model(x[:2], causal(6)), model(x[:2]))
    assert_same(model(x[:1], causal(6)), model(x[:1]))
    assert_same(model(x, torch.ones(6, 6)), model(x))
    for mask in (causal(6), torch.zeros(6, 6).masked_fill(~causal(6), -torch.inf)):
        with pytest.raises(
            ValueError, match=rf"block.dsp_before {REFUSED}.*\(batch, time\) or \(time, time\)"
        ) as error:
            model(x, mask)
        assert "segment_ids" not in str(error.value)
    assert_same(block(mask=False)(x, causal(6)), model(x))
    with segmented(torch.zeros(6, 6, dtype=torch.int64)):
        assert_same(model(x, causal(6)), model(x))


@pytest.mark.parametrize(
    "mask", [torch.rand(2, 6), torch.tensor([[0, 0, 0, -0.5, -1, 0]] * 2), -torch.eye(6)[:2].long()]
)
def test_numbers_of_no_known_format_are_refused(mask):
    with pytest.raises(
        ValueError, match=rf"{REFUSED}: attention_mask of Small holds .* and not 1 at real samples"
    ):
        block()(draw(2, 6, WIDTH).double(), mask)


def test_lengths_that_are_shares_are_refused_unless_all_are_whole():
    model = small(lambda self, x, lengths: self.block(x), block=nn.Linear(WIDTH, WIDTH)).double()
    insert(model, "block", both_ways)
    x = draw(2, 6, WIDTH).double()
    assert_same(model(x, torch.ones(2)), model(x, torch.tensor([6, 6])))
    with pytest.raises(ValueError, match=r"lengths of Small are floating"):
        model(x, torch.tensor([1.0, 0.5]))


class Towers(nn.Module):
    """Two signals, whose parts nothing tells apart."""

    def __init__(self):
        super().__init__()
        self.text, self.image = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x, image, attention_mask=None, padding=None):
        return self.text(torch.tanh(x)), self.image(torch.tanh(image))


def test_a_mask_beside_several_signals_is_refused_until_the_user_says_whose():
    x, image = draw(2, 6, WIDTH).double(), draw(2, 6, WIDTH, seed=2).double()
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    model = Towers().double()
    insert(model, "*", both_ways)
    expected = model(x[1:, :4], image[1:])
    assert_same(model(x, image, torch.ones_like(mask))[0], model(x, image)[0])
    with pytest.raises(ValueError, match=r"marks padding beside x and image, of which the layer may see any"):
        model(x, image, mask)
    layers = {"text": model.text.dsp_before, "image": model.image.dsp_before}
    remove(model)
    insert(model, "text", lambda _: layers["text"], mask="attention_mask")
    insert(model, "image", lambda _: layers["image"], mask=False)
    for each in (model, copy.deepcopy(model)):
        text, picture = each(x, image, mask)
        assert_close(text[1, :4], expected[0][0])
        assert_close(picture[1], expected[1][0])
    assert_same(model(x, image)[0], model(x, image, torch.ones_like(mask))[0])
    remove(model, "text.*")
    assert InsertedForward.of(model).rules == ()
    assert_close(model(x, image, mask)[1][1], expected[1][0])
    remove(model)
    assert "forward" not in vars(model)


def test_a_function_of_the_arguments_gives_the_mask():
    """A waveform's mask, at the rate of the frames: what no rule can guess."""
    model = zoo.wav2vec2(WIDTH).double().eval()
    wave, real = draw(2, 60).double(), (torch.arange(60) < torch.tensor([[60], [40]])).long()
    narrow = lambda _: FIR(8, 3, init="lowpass", causal=False).double()  # noqa: E731
    insert(model, "feature_extractor.conv_layers.1", narrow, layout="bct")
    with pytest.raises(
        ValueError, match=r"attention_mask of Wav2Vec2Model is of shape \(2, 60\), and the layer's signal"
    ):
        model(wave, attention_mask=real)
    assert model(wave).last_hidden_state.isfinite().all()
    remove(model)

    def frames(arguments):
        return arguments["attention_mask"][:, 2::2]  # of the first convolution, 3 samples every 2

    insert(model, "feature_extractor.conv_layers.1", narrow, layout="bct", mask=frames)
    kernel = model.feature_extractor.conv_layers[1].dsp_before.weight
    assert kernel.shape == (3, 8)
    y = model(wave * real, attention_mask=real).last_hidden_state
    alone = model(wave[1:, :40], attention_mask=real[1:, :40]).last_hidden_state
    assert_close(y[1, :8], alone[0, :8])


@pytest.mark.parametrize(
    ("mask", "error", "says"),
    [
        (True, TypeError, r"mask must be the name of an argument .* or False, got True"),
        (3, TypeError, "got 3 of type int"),
        ("attention", ValueError, r"must name an argument of Small, got 'attention'; .* x, mask, padding"),
    ],
)
def test_a_wrong_rule_is_refused_and_changes_nothing(mask, error, says):
    with pytest.raises(error, match=says):
        block(mask=mask)


def test_what_a_rule_reads_is_checked():
    x = draw(2, 6, WIDTH).double()
    with pytest.raises(ValueError, match=r"padding of Small must be of shape \(batch, time\), got \(6,\)"):
        block(mask="padding")(x, None, torch.ones(6))
    with pytest.raises(TypeError, match=r"what mask= returned must be a tensor"):
        block(mask=lambda arguments: [1])(x)
    with pytest.raises(ValueError, match=rf"{REFUSED}: padding of Small is of shape \(2, 5\)"):
        block(mask="padding")(x, None, torch.zeros(2, 5, dtype=torch.int64))
    assert_same(block(mask="padding")(x), block(mask=False)(x))
    with pytest.raises(ValueError, match=r"only a part of that was called; call that model"):
        block(mask="padding").block(x)


def test_texts_and_pictures_of_other_numbers():
    model = zoo.clip(WIDTH).double().eval()
    insert(model, "*_model.encoder.layers.*", both_ways)
    ids = torch.randint(2, zoo.VOCABULARY - 1, (3, 5))
    mask = torch.tensor([[1] * 5, [1] * 3 + [0] * 2, [1] * 5])
    pixels = draw(2, 3, PIXELS, PIXELS).double()
    out, alone = model(ids, pixels, mask), model(ids[1:2, :3], pixels)
    assert_close(out.vision_model_output[0], alone.vision_model_output[0])
    assert_close(out.text_model_output[0][1, :3], alone.text_model_output[0][0])


@pytest.mark.parametrize(
    ("build", "where"), [(zoo.t5, "*coder.block.*"), (zoo.bart, "model.*coder.layers.*")]
)
@pytest.mark.parametrize("beams", [1, 3])
def test_an_encoder_and_a_decoder_generate_from_padded_sources(build, where, beams):
    pytest.importorskip("transformers")
    model = build(WIDTH).double().eval()
    insert(model, where, lambda _: FIR(WIDTH, 3, init="lowpass").double())
    ids = torch.randint(2, zoo.VOCABULARY, (2, 6))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    how = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "num_beams": beams}
    with streaming(model):
        y = model.generate(ids, attention_mask=mask, **how)
    assert_same(y, model.generate(ids, attention_mask=mask, **how, use_cache=False))
    with streaming(model):
        assert_same(y[1:], model.generate(ids[1:, :4], **how))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_in_a_decoder_take_no_padding_of_the_source(reentrant):
    found = []
    for checkpointing in (False, True):
        model = zoo.bart(WIDTH)
        insert(model, "model.*coder.layers.*", lambda _: Multirate(WIDTH, causal=False))
        model = model.double().train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": reentrant})
        ids = torch.arange(2, 14).reshape(2, 6)
        mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
        model(ids, attention_mask=mask, labels=ids.flip(1), use_cache=False).loss.backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        assert_close(found[1][name], gradient, what=name)


def test_padding_off_the_grid_is_refused_in_words_of_its_own():
    model = small(lambda self, x, attention_mask: self.block(x), block=nn.Linear(WIDTH, WIDTH)).double()
    insert(model, "block", lambda _: AtRate(FIR(WIDTH, 3), 4).double())
    mask = torch.tensor([[0, 1, 1, 1, 1, 1, 1, 1]])
    with pytest.raises(ValueError, match=r"begin at a multiple of 4.*put padding before it") as error:
        model(draw(1, 8, WIDTH).double(), mask)
    assert "segment_ids" not in str(error.value)
