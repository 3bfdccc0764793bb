//! Files that messages bring along. Invariant: what does not come leaves its name in the message, so that nobody wonders.

use super::{
    markup::quiet,
    model::Time,
    record::Coming,
    report::{What, Why},
    write::Writer,
};
use crate::{
    error::Result,
    events::Change,
    files::arrival::{self, Refused},
    kit::{scalars::DateTime, write},
    messaging::attachment::MOST,
};
use serde_json::Value as Json;
use uuid::Uuid;

/// A file whose content is stored, as its row and what the log is told.
pub struct Brought {
    pub id: Uuid,
    pub row: Json,
    pub told: Change,
}

impl Writer<'_> {
    /// Stores what a message brings along.
    pub async fn bring_files(&mut self, coming: &mut Coming) -> Result<()> {
        let files = std::mem::take(&mut coming.post.files);
        for (index, file) in files.into_iter().enumerate() {
            let outcome = if index >= MOST {
                Err(Why::ManyFiles)
            } else {
                self.bring(&file.entry, &file.name, (coming.sender, coming.post.at)).await?
            };
            match outcome {
                Ok(brought) => {
                    self.report.new_ones(What::Files, 1);
                    coming.files.extend(brought);
                }
                Err(why) => {
                    self.report.leave_at(why, file.name.as_str());
                    if coming.length() < 39_000 {
                        coming.add(&format!("{} (not imported)", quiet(&file.name)));
                    }
                }
            }
        }
        Ok(())
    }

    /// None: it would come, in a dry run.
    async fn bring(
        &mut self,
        path: &str,
        name: &str,
        (sender, at): (Uuid, Time),
    ) -> Result<Result<Option<Brought>, Why>> {
        let Some(package) = &mut self.package else { return Ok(Err(Why::NoFile)) };
        let Some(entry) = package.find(path) else { return Ok(Err(Why::NoFile)) };
        let size = package.size(&entry)?;
        if let Err(refused) = self.room.admit(self.app, name, size) {
            return Ok(Err(why(refused)));
        }
        if self.dry {
            return Ok(Ok(None));
        }
        let Ok(mut content) = package.entry(&entry, size) else { return Ok(Err(Why::NoFile)) };
        let place = (self.organization, sender);
        Ok(match arrival::keep(self.app, place, name, size, &mut content, DateTime(at)).await? {
            Ok(stored) => Ok(Some(Brought {
                id: stored.file().id.0,
                row: stored.row()?,
                told: write::change(None, stored.file(), "created")?,
            })),
            Err(refused) => Err(why(refused)),
        })
    }
}

fn why(refused: Refused) -> Why {
    match refused {
        Refused::Broken => Why::NoFile,
        Refused::Kind => Why::FileKind,
        Refused::Size => Why::FileSize,
        Refused::Quota => Why::FileQuota,
    }
}
