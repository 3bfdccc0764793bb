//! Files: what people upload, and who may read it.

pub mod arrival;
pub mod file;
pub mod sweep;
pub mod thumbnail;
pub mod upload;

pub use sweep::{PurgeUploads, RemoveObject, SweepObjects};
pub use thumbnail::{MeasureImage, MeasureImages};

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct FilesQuery(file::FileQuery);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct FilesMutation(upload::UploadMutation);
