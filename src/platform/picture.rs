//! Pictures made small. Invariants: what somebody sends costs so much memory and time and no more, however large it says that
//! it is; what else stood in the file (where it was taken, and with which camera) does not go along.

use super::threads::Threads;
use crate::error::{Error, Result};
use bytes::Bytes;
use image::{
    DynamicImage, GenericImageView, ImageDecoder, ImageError, ImageFormat, ImageReader, codecs::jpeg::JpegEncoder,
    imageops, metadata::Orientation,
};
use std::{io::Cursor, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How long one may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where nobody sees a difference at a small size.
const QUALITY: u8 = 85;

/// What a picture may be, as its head says: none of it is decoded before.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pixels in a row, and in a column.
    pub side: u32,
    /// Pixels in all: what decoding costs in time, and in the memory beside them.
    pub pixels: u64,
    /// Memory of the pixels as they are stored there, in bytes: 3 each in a photograph, 16 at most.
    pub memory: u64,
}

impl Limits {
    /// What cameras make: 50 megapixels, 16 384 a side, 3 bytes each; 4 where one can see through.
    pub const PHOTOGRAPH: Limits = Limits { side: 16_384, pixels: 50_000_000, memory: 200_000_000 };
}

/// Bytes of a picture as it is stored, at most: it is read as a whole.
pub const MOST: u64 = 20 << 20;

/// Why there is no small picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It cannot be read: PNG, JPEG, GIF and WebP can.
    Unreadable,
    /// It is more than the limits allow.
    TooLarge,
}

/// A square of that many pixels a side from the middle of a picture, upright: PNG where one can see through it, else JPEG.
/// Of what moves, the first picture. Takes its time: see `Pictures`.
pub fn square(picture: &[u8], side: u32, limits: &Limits) -> Result<Bytes, Unfit> {
    let (image, upright) = decode(picture, limits)?;
    let (width, height) = image.dimensions();
    let middle = width.min(height);
    if middle == 0 {
        return Err(Unfit::Unreadable);
    }
    // A view of it. To scale first and cut then would make billions of pixels of one that is very long.
    let view = imageops::crop_imm(&image, (width - middle) / 2, (height - middle) / 2, middle, middle);
    // Averages bring it near, fast and with no memory; the filter is for the eye.
    let twice = side.saturating_mul(2);
    let near = if middle > twice { imageops::thumbnail(&*view, twice, twice) } else { view.to_image() };
    drop(image);
    let mut small = DynamicImage::from(imageops::resize(&near, side, side, imageops::FilterType::CatmullRom));
    // The middle is the middle, whichever way it is turned.
    small.apply_orientation(upright);
    encode(small)
}

/// A picture that was measured.
pub struct Measured {
    /// Pixels in a row, as it is seen upright.
    pub width: u32,
    /// Pixels in a column.
    pub height: u32,
    /// A copy for each of the sides that were asked for.
    pub copies: Vec<Bytes>,
}

/// Measures a picture, and makes a copy for each of these sides (the longest first): upright, as a whole, no side of it longer
/// than that or than it was. As `square` otherwise.
pub fn measure(picture: &[u8], sides: &[u32], limits: &Limits) -> Result<Measured, Unfit> {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    let (mut image, upright) = decode(picture, limits)?;
    let (mut width, mut height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(Unfit::Unreadable);
    }
    if matches!(upright, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH) {
        (width, height) = (height, width);
    }
    let mut copies = Vec::with_capacity(sides.len());
    for (place, side) in sides.iter().enumerate() {
        // Each of the one before, which is near already.
        image = within(image, *side);
        if place == 0 {
            image.apply_orientation(upright);
        }
        copies.push(encode(image.clone())?);
    }
    Ok(Measured { width, height, copies })
}

/// Made so small that no side is longer than that; what is small enough stays as it is.
fn within(image: DynamicImage, side: u32) -> DynamicImage {
    let (width, height) = image.dimensions();
    let longest = width.max(height);
    if longest <= side {
        return image;
    }
    let scaled = |length: u32| {
        let exact = (u64::from(length) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(exact).unwrap_or(side).clamp(1, side)
    };
    let (width, height, of) = (scaled(width), scaled(height), (width, height));
    let near = imageops::thumbnail(&image, width.saturating_mul(2).min(of.0), height.saturating_mul(2).min(of.1));
    drop(image);
    DynamicImage::from(imageops::resize(&near, width, height, imageops::FilterType::CatmullRom))
}

fn decode(picture: &[u8], limits: &Limits) -> Result<(DynamicImage, Orientation), Unfit> {
    let unfit = |fault: ImageError| match fault {
        ImageError::Limits(_) => Unfit::TooLarge,
        _ => Unfit::Unreadable,
    };
    let mut reader = ImageReader::new(Cursor::new(picture)).with_guessed_format().map_err(|_| Unfit::Unreadable)?;
    let known = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP];
    if !reader.format().is_some_and(|format| known.contains(&format)) {
        return Err(Unfit::Unreadable);
    }
    let mut most = image::Limits::default();
    most.max_image_width = Some(limits.side);
    most.max_image_height = Some(limits.side);
    most.max_alloc = Some(limits.memory);
    reader.limits(most);
    let mut decoder = reader.into_decoder().map_err(unfit)?;
    let (width, height) = decoder.dimensions();
    // Not all decoders look at their memory themselves.
    if u64::from(width).saturating_mul(height.into()) > limits.pixels || decoder.total_bytes() > limits.memory {
        return Err(Unfit::TooLarge);
    }
    let upright = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    Ok((DynamicImage::from_decoder(decoder).map_err(unfit)?, upright))
}

/// Only the pixels are written.
fn encode(small: DynamicImage) -> Result<Bytes, Unfit> {
    let (rgba, mut bytes) = (small.into_rgba8(), Vec::new());
    let written = if rgba.pixels().any(|pixel| pixel.0[3] < u8::MAX) {
        rgba.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
    } else {
        let rgb = DynamicImage::from(rgba).into_rgb8();
        rgb.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))
    };
    written.map(|()| bytes.into()).map_err(|_| Unfit::Unreadable)
}

/// Where pictures are worked at: apart from the threads of requests, and one at a time, because one may take some hundred
/// megabytes and a second.
pub struct Pictures {
    turns: Arc<Semaphore>,
    threads: Threads,
}

impl Default for Pictures {
    fn default() -> Self {
        Pictures { turns: Arc::new(Semaphore::new(1)), threads: Threads::new("stoa-picture", 1) }
    }
}

impl Pictures {
    /// Waits for a turn; take it before the picture is read, so that those who wait hold nothing. SERVICE_UNAVAILABLE when too
    /// many want one.
    pub async fn turn(&self) -> Result<Turn<'_>> {
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Error::unavailable("too many pictures at once"))?.map_err(Error::ours)?;
        Ok(Turn { turn, threads: &self.threads })
    }
}

/// The right to work at one picture.
pub struct Turn<'a> {
    turn: OwnedSemaphorePermit,
    threads: &'a Threads,
}

impl Turn<'_> {
    /// Does the work. Should nobody wait for it any more, it keeps its turn until its memory is free.
    pub async fn make<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Unfit> + Send + 'static,
    ) -> Result<T, Unfit> {
        let turn = self.turn;
        let made = self.threads.handle().spawn_blocking(move || {
            let made = work();
            drop(turn);
            made
        });
        // What makes a decoder panic is no picture.
        made.await.unwrap_or(Err(Unfit::Unreadable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    const LIMITS: Limits = Limits { side: 4096, pixels: 4 << 20, memory: 16 << 20 };

    fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
        let mut bytes = Vec::new();
        image.into().write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
        bytes
    }

    fn made(picture: &[u8], side: u32) -> DynamicImage {
        image::load_from_memory(&square(picture, side, &LIMITS).unwrap()).unwrap()
    }

    #[test]
    fn a_square_comes_from_the_middle() {
        // Red, green, blue from left to right, and from top to bottom: made smaller and larger.
        for (width, height, side) in [(600, 200, 64), (200, 600, 64), (600, 200, 128), (90, 30, 64)] {
            let parted = RgbImage::from_fn(width, height, |x, y| {
                let mut pixel = [0; 3];
                pixel[(3 * x.max(y) / width.max(height)) as usize] = 255;
                Rgb(pixel)
            });
            let made = made(&png(parted), side).into_rgb8();
            assert_eq!(made.dimensions(), (side, side));
            for (x, y) in [(4, 4), (side / 2, side / 2), (side - 5, side - 5)] {
                let Rgb([red, green, blue]) = *made.get_pixel(x, y);
                assert!(green > 200 && red < 60 && blue < 60, "{width} × {height}, {x} {y}: {red} {green} {blue}");
            }
        }
        // As long as can be, and of one pixel.
        for (width, height) in [(4096, 1), (1, 4096), (1, 1)] {
            let made = made(&png(RgbImage::from_pixel(width, height, Rgb([0, 255, 0]))), 64).into_rgb8();
            assert!(made.pixels().all(|pixel| pixel.0[1] > 240));
        }
    }

    #[test]
    fn a_copy_is_the_whole_and_never_larger() {
        for (width, height, small, large) in [
            (2000, 1000, (320, 160), (1280, 640)),
            (1000, 2000, (160, 320), (640, 1280)),
            (400, 300, (320, 240), (400, 300)),
            (30, 20, (30, 20), (30, 20)),
            (4096, 1, (320, 1), (1280, 1)),
            (1, 1, (1, 1), (1, 1)),
        ] {
            // Red, green, blue from left to right.
            let parted = RgbImage::from_fn(width, height, |x, _| {
                let mut pixel = [0; 3];
                pixel[(3 * x / width) as usize] = 255;
                Rgb(pixel)
            });
            let Measured { width: told, height: high, copies } = measure(&png(parted), &[1280, 320], &LIMITS).unwrap();
            assert_eq!((told, high), (width, height));
            let copies: Vec<_> = copies.iter().map(|copy| image::load_from_memory(copy).unwrap().into_rgb8()).collect();
            assert_eq!((copies[1].dimensions(), copies[0].dimensions()), (small, large));
            for copy in copies.iter().filter(|copy| copy.width() > 20) {
                for (place, x) in [3, copy.width() / 2, copy.width() - 4].into_iter().enumerate() {
                    let pixel = copy.get_pixel(x, copy.height() / 2).0;
                    assert!(pixel[place] > 180 && pixel[(place + 1) % 3] < 80, "{width} × {height} at {x}: {pixel:?}");
                }
            }
        }
        let cut = png(RgbImage::new(64, 64));
        assert!(matches!(measure(&cut[..40], &[320], &LIMITS), Err(Unfit::Unreadable)));
        assert!(matches!(measure(&bomb(4097, 1), &[320], &LIMITS), Err(Unfit::TooLarge)));
    }

    #[test]
    fn what_is_clear_stays_clear_and_the_rest_is_small() {
        let told = |alpha| square(&png(RgbaImage::from_pixel(10, 10, Rgba([1, 2, 3, alpha]))), 64, &LIMITS).unwrap();
        assert!(told(255).starts_with(b"\xff\xd8\xff"), "a JPEG");
        let clear = image::load_from_memory(&told(0)).unwrap().into_rgba8();
        assert_eq!(clear.get_pixel(5, 5).0[3], 0);
    }

    /// 40 × 20, its left half white; the tag says that it was taken with the camera turned by 90° (6).
    fn turned() -> Vec<u8> {
        let lying = RgbImage::from_fn(40, 20, |x, _| if x < 20 { Rgb([255; 3]) } else { Rgb([0; 3]) });
        let mut jpeg = Vec::new();
        lying.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, 95)).unwrap();
        let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0SecretPlace";
        let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
        [&jpeg[..2], &[0xff, 0xe1], &length, exif, &jpeg[2..]].concat()
    }

    #[test]
    fn what_a_camera_turned_stands_upright_and_tells_nothing() {
        let Measured { width, height, mut copies } = measure(&turned(), &[40, 20], &LIMITS).unwrap();
        assert_eq!((width, height), (20, 40));
        copies.push(square(&turned(), 20, &LIMITS).unwrap());
        for (small, size) in copies.iter().zip([(20, 40), (10, 20), (20, 20)]) {
            assert!(!small.windows(6).any(|part| part == b"Secret" || part == b"Exif\0\0"));
            let small = image::load_from_memory(small).unwrap().into_rgb8();
            assert_eq!(small.dimensions(), size);
            let (middle, below) = (size.0 / 2, size.1 - 3);
            assert!(
                small.get_pixel(middle, 2).0[0] > 200 && small.get_pixel(middle, below).0[0] < 60,
                "white is above"
            );
        }
    }

    /// A picture of one pixel that says it is larger.
    fn bomb(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = png(RgbaImage::new(1, 1));
        bytes[16..20].copy_from_slice(&width.to_be_bytes());
        bytes[20..24].copy_from_slice(&height.to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        bytes
    }

    #[test]
    fn what_is_too_large_or_no_picture_is_told_apart() {
        let told = |picture: &[u8]| square(picture, 64, &LIMITS).err();
        for (width, height, why) in [
            (4097, 1, "side"),
            (1, 4097, "side"),
            (4096, 1025, "pixels"),
            (100_000, 100_000, "all of them"),
            (i32::MAX.unsigned_abs(), i32::MAX.unsigned_abs(), "more than there is"),
        ] {
            assert_eq!(told(&bomb(width, height)), Some(Unfit::TooLarge), "{why}: {width} × {height}");
        }
        let deep = png(image::ImageBuffer::<Rgba<u16>, _>::new(2048, 1100));
        assert_eq!(told(&deep), Some(Unfit::TooLarge), "8 bytes a pixel");
        let grey = png(image::GrayImage::new(4096, 1025));
        assert_eq!(told(&grey), Some(Unfit::TooLarge), "time for each pixel, though they are a byte each");
        assert_eq!(told(&bomb(2048, 2048)), Some(Unfit::Unreadable), "there is less than it says");
        let whole = png(RgbImage::new(64, 64));
        for end in [0, 8, 20, 40, whole.len() / 2] {
            assert_eq!(told(&whole[..end]), Some(Unfit::Unreadable), "{end} bytes");
        }
        for nonsense in [b"GIF89a".as_slice(), b"<svg/>", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"BM", b"qoif"] {
            assert_eq!(told(nonsense), Some(Unfit::Unreadable), "{nonsense:?}");
        }
    }

    #[tokio::test]
    async fn one_comes_behind_the_other_and_a_panic_is_no_end() {
        let pictures = Pictures::default();
        let first = pictures.turn().await.unwrap();
        // Not even its turn: with that it would read its picture.
        assert!(futures_util::poll!(std::pin::pin!(pictures.turn())).is_pending());
        let second = async { pictures.turn().await.unwrap().make(|| Ok(())).await };
        let mut second = std::pin::pin!(second);
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        let fault = first.make::<()>(|| std::panic::resume_unwind(Box::new("a decoder"))).await;
        assert_eq!((fault, second.await), (Err(Unfit::Unreadable), Ok(())));
    }
}
