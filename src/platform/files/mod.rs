//! Where files are kept: objects by name, on the local disk. Invariant: an object is there whole or not at all, and is never
//! changed; its name is made of ids and never of what somebody typed.
//!
//! Everything goes through `ObjectStore`, so that another store is another line in `open`. What a crash leaves of a write
//! that was not published is no object: it is never listed or read, and `remove_drafts` takes it away.

mod kind;
mod name;

pub use kind::{Shown, has_type, shown};
pub use name::disposition;

use crate::{
    config::Config,
    error::{Error, Result},
};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    Error as Fault, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload,
    local::LocalFileSystem, path::Path,
};
use std::{
    fs, io,
    ops::Range,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use uuid::Uuid;

/// What is written at once: the least that stores over the network take as a part of an object.
const PART: usize = 5 << 20;

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName(Path);

impl ObjectName {
    /// Something that belongs to an organization: what was uploaded into it, the picture of an emoji or a
    /// conversation.
    pub fn file(organization: Uuid, object: Uuid) -> Self {
        ObjectName(Path::from_iter([FILES, &organization.to_string(), &object.to_string()]))
    }

    /// The thumbnail of that name beside something that was uploaded.
    pub fn thumbnail(organization: Uuid, object: Uuid, name: &'static str) -> Self {
        ObjectName(Path::from_iter([FILES, &organization.to_string(), &format!("{object}.{name}")]))
    }

    /// The picture of a person.
    pub fn avatar(user: Uuid, avatar: Uuid) -> Self {
        ObjectName(Path::from_iter([AVATARS, &user.to_string(), &avatar.to_string()]))
    }

    /// The organization or the user in it.
    pub fn owner(&self) -> Option<Uuid> {
        self.0.parts().nth(1)?.as_ref().parse().ok()
    }

    /// The id at its end; of a thumbnail, that of what it stands beside.
    pub fn id(&self) -> Option<Uuid> {
        self.0.filename()?.split('.').next()?.parse().ok()
    }
}

/// The folder of what organizations have, by organization.
const FILES: &str = "organizations";
/// The folder of the pictures of people, by user.
const AVATARS: &str = "avatars";

/// An object that is listed.
pub struct Listed {
    pub name: ObjectName,
    pub written_at: DateTime<Utc>,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    /// Where drafts may be left behind.
    folder: PathBuf,
}

impl Files {
    /// Opens the store, and makes its folder when there is none. The error says what an operator has to mend.
    pub fn open(config: &Config) -> Result<Self> {
        let folder = folder(config);
        let opened = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|why| why.to_string());
        let store = opened
            .and_then(|()| LocalFileSystem::new_with_prefix(&folder).map_err(|why| why.to_string()))
            .map_err(|why| Error::ours(format!("files cannot be kept in {}: {why}", folder.display())))?;
        // What was acknowledged is on the disk, as in the database.
        Ok(Files { store: Arc::new(store.with_fsync(true)), folder })
    }

    /// Writes a small object.
    pub async fn write(&self, name: &ObjectName, content: Bytes) -> Result<()> {
        let mut draft = self.draft(name).await?;
        draft.write(content).await?;
        draft.publish().await
    }

    /// Begins to write an object.
    pub async fn draft(&self, name: &ObjectName) -> Result<Draft> {
        let upload = self.store.put_multipart(&name.0).await.map_err(broken)?;
        Ok(Draft { upload, waiting: Vec::new(), size: 0 })
    }

    /// How large an object is; None: there is none.
    pub async fn size(&self, name: &ObjectName) -> Result<Option<u64>> {
        match self.store.head(&name.0).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Fault::NotFound { .. }) => Ok(None),
            Err(fault) => Err(broken(fault)),
        }
    }

    /// A part of an object, in pieces; None: there is no such object.
    pub async fn read(
        &self,
        name: &ObjectName,
        part: Range<u64>,
    ) -> Result<Option<BoxStream<'static, io::Result<Bytes>>>> {
        let options = GetOptions { range: Some(GetRange::Bounded(part)), ..GetOptions::default() };
        match self.store.get_opts(&name.0, options).await {
            Ok(found) => Ok(Some(found.into_stream().map_err(io::Error::other).boxed())),
            Err(Fault::NotFound { .. }) => Ok(None),
            Err(fault) => Err(broken(fault)),
        }
    }

    /// As `read`, in one piece: for small parts.
    pub async fn read_whole(&self, name: &ObjectName, part: Range<u64>) -> Result<Option<Bytes>> {
        match self.store.get_range(&name.0, part).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Fault::NotFound { .. }) => Ok(None),
            Err(fault) => Err(broken(fault)),
        }
    }

    /// Removes an object; one that is gone already is fine.
    pub async fn remove(&self, name: &ObjectName) -> Result<()> {
        match self.store.delete(&name.0).await {
            Ok(()) | Err(Fault::NotFound { .. }) => Ok(()),
            Err(fault) => Err(broken(fault)),
        }
    }

    /// The organizations that have objects, or had.
    pub async fn organizations(&self) -> Result<Vec<Uuid>> {
        let listed = self.store.list_with_delimiter(Some(&Path::from(FILES))).await.map_err(broken)?;
        Ok(listed.common_prefixes.iter().filter_map(|folder| folder.filename()?.parse().ok()).collect())
    }

    /// The objects of an organization, in no order.
    pub fn of(&self, organization: Uuid) -> BoxStream<'static, Result<Listed>> {
        self.list(&Path::from_iter([FILES, &organization.to_string()]))
    }

    /// The pictures of all people, in no order.
    pub fn avatars(&self) -> BoxStream<'static, Result<Listed>> {
        self.list(&Path::from(AVATARS))
    }

    fn list(&self, folder: &Path) -> BoxStream<'static, Result<Listed>> {
        let listed = self.store.list(Some(folder)).map_err(broken);
        listed.map_ok(|meta| Listed { name: ObjectName(meta.location), written_at: meta.last_modified }).boxed()
    }

    /// Removes all that an organization has.
    pub async fn remove_organization(&self, organization: Uuid) -> Result<()> {
        self.of(organization).try_for_each(async |object| self.remove(&object.name).await).await
    }

    /// Removes what crashes left of writes that began before that age.
    pub async fn remove_drafts(&self, age: Duration) -> Result<()> {
        let folder = self.folder.clone();
        let removed = tokio::task::spawn_blocking(move || remove_drafts(folder, age)).await.map_err(Error::ours)?;
        removed.map_err(|why| Error::ours(format!("files that were not finished cannot be removed: {why}")))
    }
}

/// Where files are on the local disk.
pub fn folder(config: &Config) -> PathBuf {
    config.data_dir.join("files")
}

/// `LocalFileSystem` writes `name#1` beside `name`, and lists neither these nor folders.
fn remove_drafts(folder: PathBuf, age: Duration) -> io::Result<()> {
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // What is gone meanwhile is what is wanted.
            let Ok(meta) = entry.metadata() else { continue };
            let old = || meta.modified().is_ok_and(|at| at + age < SystemTime::now());
            if meta.is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().contains('#') && old() {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
    Ok(())
}

/// An object in the making. What is dropped leaves nothing behind.
pub struct Draft {
    upload: Box<dyn MultipartUpload>,
    waiting: Vec<Bytes>,
    size: usize,
}

impl Draft {
    /// Takes the next bytes; some of them wait in memory, `PART` at most and what is given at once.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len();
        self.waiting.push(bytes);
        if self.size < PART { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<()> {
        self.size = 0;
        let part: PutPayload = std::mem::take(&mut self.waiting).into_iter().collect();
        self.upload.put_part(part).await.map_err(broken)
    }

    /// From here on it is there, whole.
    pub async fn publish(mut self) -> Result<()> {
        if self.size > 0 {
            self.flush().await?;
        }
        self.upload.complete().await.map(drop).map_err(broken)
    }

    /// Forgets it.
    pub async fn abandon(mut self) {
        if let Err(fault) = self.upload.abort().await {
            tracing::warn!(%fault, "what was written of a file was not removed yet");
        }
    }
}

/// The store does not do what it should: worth another try.
fn broken(fault: Fault) -> Error {
    Error::unavailable(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let data = tempfile::tempdir().unwrap();
        let files = Files::open(&Config { data_dir: data.path().to_owned(), ..Config::default() }).unwrap();
        (data, files)
    }

    async fn all(files: &Files, organization: Uuid) -> Vec<ObjectName> {
        files.of(organization).map_ok(|object| object.name).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn an_object_is_there_whole_or_not_at_all() {
        let (data, files) = files();
        let (organization, id) = (Uuid::now_v7(), Uuid::now_v7());
        let name = ObjectName::file(organization, id);
        let mut draft = files.draft(&name).await.unwrap();
        for _ in 0..3 {
            draft.write(Bytes::from(vec![7; PART - 1])).await.unwrap();
        }
        assert!(files.size(&name).await.unwrap().is_none() && all(&files, organization).await.is_empty());
        draft.publish().await.unwrap();
        let size = 3 * (PART as u64 - 1);
        assert_eq!(files.size(&name).await.unwrap(), Some(size));
        assert_eq!(files.read_whole(&name, size - 2..size).await.unwrap().unwrap(), vec![7, 7]);
        let pieces: Vec<Bytes> = files.read(&name, 0..size).await.unwrap().unwrap().try_collect().await.unwrap();
        assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>() as u64, size);
        assert_eq!(
            (all(&files, organization).await, files.organizations().await.unwrap()),
            (vec![name.clone()], vec![organization])
        );
        assert_eq!((name.owner(), name.id()), (Some(organization), Some(id)));
        let beside = ObjectName::thumbnail(organization, id, "small");
        assert_eq!((beside.owner(), beside.id(), beside == name), (Some(organization), Some(id), false));

        for end in ["dropped", "abandoned"] {
            let mut draft = files.draft(&ObjectName::file(organization, Uuid::now_v7())).await.unwrap();
            draft.write(Bytes::from_static(b"half")).await.unwrap();
            if end == "abandoned" {
                draft.abandon().await;
            } else {
                drop(draft);
            }
        }
        assert_eq!(all(&files, organization).await.as_slice(), std::slice::from_ref(&name));
        files.remove_organization(organization).await.unwrap();
        files.remove(&name).await.unwrap();
        assert!(files.read(&name, 0..1).await.unwrap().is_none());
        let folder = folder(&Config { data_dir: data.path().to_owned(), ..Config::default() });
        let left = folder.join(FILES).join(organization.to_string());
        // Those that were dropped are removed beside, at once.
        for _ in 0..100 {
            if fs::read_dir(&left).unwrap().count() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("something is left in {}", left.display());
    }

    #[tokio::test]
    async fn what_a_crash_left_goes_when_it_is_old() {
        let (data, files) = files();
        let name = ObjectName::file(Uuid::now_v7(), Uuid::now_v7());
        let mut draft = files.draft(&name).await.unwrap();
        draft.write(Bytes::from_static(b"whole")).await.unwrap();
        draft.publish().await.unwrap();
        let left = data.path().join("files").join(format!("{}#1", name.0));
        fs::write(&left, "half").unwrap();
        files.remove_drafts(Duration::from_secs(3600)).await.unwrap();
        assert!(left.exists(), "somebody may be writing it");
        files.remove_drafts(Duration::ZERO).await.unwrap();
        assert!(!left.exists() && files.size(&name).await.unwrap() == Some(5));
    }
}
