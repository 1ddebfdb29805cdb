"""Pictures of every form, and what is no picture."""

import contextlib
import errno
import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vsezoo.data.pictures.picture_file import SHORT_SIDE, AccessError, Place, read_picture
from vsezoo.errors import DataError


def make_picture(width: int = 40, height: int = 30) -> Image.Image:
    """Red on the left, blue on the right; the upper quarter is green."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    pixels[: height // 4] = (0, 255, 0)
    return Image.fromarray(pixels)


def encode(picture: Image.Image, form: str, **options: object) -> io.BytesIO:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream


def read(picture: Image.Image, form: str, **options: object) -> np.ndarray:
    got = read_picture(encode(picture, form, **options))
    assert type(got) is Image.Image
    assert got.mode == "RGB"
    return np.asarray(got)


def fail(stream: io.BytesIO, name: str = "odd.jpg") -> str:
    with pytest.raises(DataError) as caught:
        read_picture(stream, name=name)
    assert caught.value.file == name
    assert "--on-bad-image skip" in caught.value.remedy
    return caught.value.problem


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_rgb_comes_back_as_it_was(form: str) -> None:
    np.testing.assert_array_equal(read(make_picture(), form), np.asarray(make_picture()))


def test_path_and_stream_give_the_same(tmp_path: Path) -> None:
    make_picture().save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    expected = np.asarray(Image.open(tmp_path / "a.jpg"))
    for file in (tmp_path / "a.jpg", str(tmp_path / "a.jpg"), io.BytesIO(content)):
        np.testing.assert_array_equal(read_picture(file), expected)


def test_part_of_a_file(tmp_path: Path) -> None:
    content = encode(make_picture(), "PNG").getvalue()
    (tmp_path / "shard").write_bytes(b"before" + content + b"after")
    place = Place(str(tmp_path / "shard"), 6, len(content), "a.png")
    np.testing.assert_array_equal(place.read(), make_picture())
    with pytest.raises(DataError, match=r"shard \(a\.png\): cannot be decoded"):
        place._replace(size=len(content) // 2).read()
    with pytest.raises(AccessError, match=r"gone \(a\.png\): cannot be read: No such file"):
        place._replace(file="gone").read()


class FailingDisk(io.BytesIO):
    """Bytes that can be read up to a place."""

    def __init__(self, content: bytes, end: int) -> None:
        super().__init__(content)
        self.end = end

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        if self.tell() > self.end:
            raise OSError(errno.EIO, "Input/output error")
        return content


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_a_disk_that_fails_is_told_apart_from_a_bad_picture(form: str) -> None:
    content = encode(make_picture(400, 300), form).getvalue()
    for end in (0, len(content) // 2):
        with pytest.raises(AccessError, match=r"odd: cannot be read: Input/output error\.\n.*--on-bad-image skip"):
            read_picture(FailingDisk(content, end), name="odd")
    with pytest.raises(DataError) as caught:
        read_picture(io.BytesIO(content[: len(content) // 2]))
    assert not isinstance(caught.value, AccessError)


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_picture_is_turned_as_its_note_says(orientation: int, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read(make_picture(), "PNG", exif=exif), np.rot90(np.asarray(make_picture()), turn))


def test_damaged_note_does_no_harm() -> None:
    np.testing.assert_array_equal(
        read(make_picture(), "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff"), np.asarray(make_picture())
    )


def test_note_that_is_cut_off_turns_the_picture_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    warnings.simplefilter("always")
    note = Image.Exif()
    note[0x0112] = 6
    content = note.tobytes().replace(b"\0\0\0\x08\0\x01", b"\0\0\0\x08\0\x09")  # nine entries; there is one
    with pytest.warns(UserWarning, match="Corrupt EXIF"):
        Image.open(encode(make_picture(), "PNG", exif=content)).getexif()
    turned = read(make_picture(), "PNG", exif=content)
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(make_picture()), 3))
    assert not recwarn


def test_cmyk_and_its_inverted_form() -> None:
    plain = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # no cyan: red
    assert np.abs(read(plain, "TIFF") - np.array([255, 0, 0])).max() == 0
    jpeg = read(plain, "JPEG", quality=95).astype(int)  # which Pillow writes as Adobe does: inverted
    assert np.abs(jpeg - np.array([255, 0, 0])).max() < 12


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_scaled(form: str) -> None:
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    # Pillow 10.1 reads a PPM of 16 bits, but writes none.
    ppm = io.BytesIO(b"P5 6 1 65535\n" + values.astype(">u2").tobytes())
    got = np.asarray(read_picture(ppm)) if form == "PPM" else read(Image.fromarray(values), form)
    np.testing.assert_array_equal(got[0, :, 1], [0, 0, 1, 1, 128, 255])


def test_big_endian_sixteen_bits() -> None:
    stream = encode(Image.frombytes("I;16B", (2, 1), b"\xff\xff\x01\x01"), "TIFF")
    np.testing.assert_array_equal(np.asarray(read_picture(stream))[0, :, 0], [255, 1])


@pytest.mark.parametrize("values", [np.ones((2, 2), np.float32), np.full((2, 2), 2**20, np.int32)])
def test_values_of_an_unknown_range(values: np.ndarray) -> None:
    assert "do not have 8 or 16 bits" in fail(encode(Image.fromarray(values), "TIFF"))


def test_grey_and_black_and_white() -> None:
    np.testing.assert_array_equal(read(Image.new("L", (2, 2), 77), "PNG")[0, 0], [77] * 3)
    np.testing.assert_array_equal(read(Image.new("1", (2, 2), 1), "PNG")[0, 0], [255] * 3)


def test_what_is_transparent_is_on_white() -> None:
    assert read(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), "PNG")[0, 0].tolist() == [255, 255, 255]
    assert read(Image.new("RGBA", (2, 2), (255, 0, 0, 255)), "PNG")[0, 0].tolist() == [255, 0, 0]
    assert read(Image.new("LA", (2, 2), (0, 51)), "PNG")[0, 0].tolist() == [204] * 3  # a fifth of black
    assert read(Image.new("RGB", (2, 2), (1, 2, 3)), "PNG", transparency=(1, 2, 3))[0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("transparency", [1, b"\xff\0"])
def test_palette_with_transparency(transparency: object) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    got = read(palette, "PNG", transparency=transparency)
    np.testing.assert_array_equal(got, [[[10, 20, 30], [255, 255, 255]]])


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    for form in ("GIF", "PNG", "TIFF"):
        assert read(frames[0], form, save_all=True, append_images=frames[1:])[0, 0].tolist() == [255, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["JPEG", "MPO"])
def test_huge_jpeg_is_decoded_small(form: str) -> None:
    side = 2 * SHORT_SIDE
    huge = make_picture(side + 600, side + 10)
    got = read(huge, form, quality=95)
    assert got.shape == ((side + 10) // 2, (side + 600) // 2, 3)
    expected = np.asarray(huge.reduce(2)).astype(int)
    assert np.abs(got - expected).mean() < 2
    assert read(make_picture(side + 600, side - 1), "JPEG").shape == (side - 1, side + 600, 3)
    assert read_picture(encode(huge, "JPEG"), short_side=100).size == ((side + 600) / 8, np.ceil((side + 10) / 8))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("short_side", [1, SHORT_SIDE])
def test_truncated(form: str, short_side: int) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    content = encode(noise, form).getvalue()
    with pytest.raises(DataError, match=r"cannot be decoded: .+"):
        read_picture(io.BytesIO(content[: len(content) * 2 // 3]), short_side=short_side)


def test_empty_and_not_a_picture() -> None:
    assert fail(io.BytesIO()) == "is empty (0 bytes)."
    assert "is not a picture" in fail(io.BytesIO(b"<html>404 Not Found</html>"))


def test_absent_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match=r"gone\.jpg: cannot be read: No such file"):
        read_picture(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")  # whoever opened it would wait for ever
    for name in ("folder.jpg", "pipe.jpg"):
        for size in (-1, 5):
            place = Place(str(tmp_path / name), 0, size)
            with pytest.raises(
                AccessError, match=rf"{name}: cannot be read: it is not a file but .*\nCheck that it exists"
            ):
                place.open()


def make_bomb(side: int) -> io.BytesIO:
    """Return a PNG of few bytes that says that it has this many pixels on a side."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_decompression_bomb(side: int) -> None:
    """Pillow only warns of the smaller one, and would decode it into 300 MB."""
    assert "more than 89,478,485 pixels" in fail(make_bomb(side), "bomb.png")


def test_limit_of_pixels_is_that_of_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30)
    read(make_picture(), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 30 * 3 // 4)
    with pytest.raises(DataError, match="more than 900 pixels"):
        read(make_picture(), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    read(make_picture(), "PNG")


SEEDS = [encode(make_picture(), form).getvalue() for form in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP")]


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8))
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_give_a_picture_or_one_message(content: bytes, changes: list[tuple[float, int]]) -> None:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    with contextlib.suppress(DataError):
        assert read_picture(io.BytesIO(bytes(damaged))).mode == "RGB"
