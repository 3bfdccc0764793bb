//! Demo emoji. Invariant: they are drawn here, so that the program brings no pictures along, and come out the same every time.

use crate::{
    error::{Error, Result},
    kit::{scalars::DateTime, write::Stop},
    messaging::emoji::{self, New, SIDE},
    platform::{database::Transaction, files::Files},
};
use bytes::Bytes;
use image::{ImageFormat, Rgba, RgbaImage};
use std::io::Cursor;
use uuid::Uuid;

/// A disc of that color with strokes of white, each from a point to another.
struct Drawing {
    name: &'static str,
    color: [u8; 3],
    strokes: &'static [[f32; 4]],
}

const ALL: [Drawing; 2] = [
    Drawing { name: "shipped", color: [30, 150, 90], strokes: &[[36.0, 66.0, 56.0, 86.0], [56.0, 86.0, 94.0, 46.0]] },
    Drawing { name: "blocked", color: [200, 50, 50], strokes: &[[36.0, 64.0, 92.0, 64.0]] },
];

/// Adds them to an organization. Nobody is told, as of all that is seeded.
pub async fn add(
    tx: &mut Transaction,
    files: &Files,
    organization: Uuid,
    creator: Option<Uuid>,
    at: DateTime,
) -> Result<()> {
    for drawing in ALL {
        let new = New { organization, name: drawing.name.to_owned(), picture: drawing.draw()?, creator, at };
        emoji::add(tx, files, new).await.map_err(|stop| match stop {
            Stop::Failed(fault) => fault,
            Stop::Rejected(rejection) => Error::ours(format!("{}: {:?}", drawing.name, rejection.errors)),
        })?;
    }
    Ok(())
}

impl Drawing {
    /// As `platform::picture::square` would make it.
    fn draw(&self) -> Result<Bytes> {
        let middle = SIDE as f32 / 2.0;
        let image = RgbaImage::from_fn(SIDE, SIDE, |x, y| {
            let at = (x as f32 + 0.5, y as f32 + 0.5);
            let inside = share(middle - 2.0 - (at.0 - middle).hypot(at.1 - middle));
            let stroke = self.strokes.iter().map(|stroke| share(8.0 - distance(at, stroke))).fold(0.0, f32::max);
            let [red, green, blue] = self.color.map(|part| mixed(f32::from(part), 255.0, stroke));
            Rgba([red, green, blue, mixed(0.0, 255.0, inside)])
        });
        let mut bytes = Vec::new();
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).map_err(Error::ours)?;
        Ok(bytes.into())
    }
}

/// How much of a pixel lies within an edge that is so far away: a soft edge.
fn share(within: f32) -> f32 {
    (within + 0.5).clamp(0.0, 1.0)
}

fn mixed(from: f32, to: f32, share: f32) -> u8 {
    (from + (to - from) * share).round() as u8
}

/// From a point to a stroke.
fn distance(at: (f32, f32), [from_x, from_y, to_x, to_y]: &[f32; 4]) -> f32 {
    let (x, y) = (to_x - from_x, to_y - from_y);
    let along = (((at.0 - from_x) * x + (at.1 - from_y) * y) / (x * x + y * y)).clamp(0.0, 1.0);
    (at.0 - from_x - along * x).hypot(at.1 - from_y - along * y)
}
