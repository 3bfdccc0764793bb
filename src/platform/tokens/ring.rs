//! The keys that are in use: one signs, and those that it has followed still check. Invariant: a token that was good
//! before a rotation is good after it, on every node, until it ends by itself.

use super::{TYPE, key::AccessKey};
use crate::{
    config::Config,
    error::{Error, Result},
};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use parking_lot::{Mutex, RwLock};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// How long a key that signs no more is kept at least. Access tokens live shorter.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How often the folder is looked at for keys that somebody has rotated.
const LOOK: Duration = Duration::from_secs(5);
/// How often at most because of a token whose key is not known: anybody can send such.
const LOOK_FOR_STRANGER: Duration = Duration::from_secs(1);
const RETIRED: &str = "retired-";

/// The keys at one moment.
pub(super) struct Ring {
    pub header: Header,
    pub signing: EncodingKey,
    checking: Vec<(String, DecodingKey)>,
    pub jwks: serde_json::Value,
}

impl Ring {
    fn of(keys: &[AccessKey]) -> Result<Self> {
        let first = keys.first().ok_or_else(|| Error::ours("there is no key"))?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(first.id());
        Ok(Ring {
            header,
            signing: EncodingKey::from_ed_der(&first.pkcs8()?),
            checking: keys.iter().map(|key| (key.id(), DecodingKey::from_ed_der(&key.public()))).collect(),
            jwks: serde_json::json!({ "keys": keys.iter().map(AccessKey::jwk).collect::<Vec<_>>() }),
        })
    }

    pub fn key(&self, id: &str) -> Option<&DecodingKey> {
        self.checking.iter().find_map(|(known, key)| (known == id).then_some(key))
    }
}

/// The ring, followed while somebody rotates it.
pub(super) struct Keys {
    ring: RwLock<Arc<Ring>>,
    /// None: the keys are given by settings, and change with a restart only.
    folder: Option<PathBuf>,
    looked: Mutex<(Instant, Option<SystemTime>)>,
}

impl Keys {
    pub fn open(config: &Config) -> Result<Self> {
        let identity = &config.identity;
        let (ring, folder) = match &identity.signing_key {
            Some(key) => {
                let mut keys = vec![AccessKey::given(key.expose(), "identity.signing_key")?];
                if let Some(key) = &identity.previous_signing_key {
                    keys.push(AccessKey::given(key.expose(), "identity.previous_signing_key")?);
                }
                (Ring::of(&keys)?, None)
            }
            None => {
                let folder = folder(config);
                let current = current(&folder);
                if AccessKey::read(&current)?.is_none() {
                    if config.production {
                        return Err(Error::ours(format!(
                            "in production Stoa makes no keys by itself. Make one with `stoa keys rotate`, or with \
                             `openssl genpkey -algorithm ed25519` and put it in {} or in the setting STOA_SIGNING_KEY",
                            current.display()
                        )));
                    }
                    AccessKey::make()?.write_new(&current)?;
                }
                (Ring::of(&read(&folder)?)?, Some(folder))
            }
        };
        let stamp = folder.as_deref().and_then(stamp);
        Ok(Keys { ring: RwLock::new(Arc::new(ring)), folder, looked: Mutex::new((Instant::now(), stamp)) })
    }

    /// The keys, at most five seconds old.
    pub fn ring(&self) -> Arc<Ring> {
        self.look(LOOK);
        self.ring.read().clone()
    }

    /// Looks again, soon, because somebody named a key that is not there.
    pub fn look_for_stranger(&self) -> Arc<Ring> {
        self.look(LOOK_FOR_STRANGER);
        self.ring.read().clone()
    }

    #[cfg(test)]
    pub fn forget_look(&self) {
        self.looked.lock().0 = Instant::now() - LOOK;
    }

    fn look(&self, every: Duration) {
        let Some(folder) = &self.folder else { return };
        let Some(mut looked) = self.looked.try_lock() else { return };
        if looked.0.elapsed() < every {
            return;
        }
        looked.0 = Instant::now();
        let now = stamp(folder);
        if now == looked.1 {
            return;
        }
        match read(folder).and_then(|keys| Ring::of(&keys)) {
            Ok(ring) => {
                *self.ring.write() = Arc::new(ring);
                looked.1 = now;
            }
            Err(fault) => tracing::warn!(?fault, "the keys of access tokens have changed and cannot be read"),
        }
    }
}

/// A key, for whoever lists them.
pub struct KeyState {
    pub id: String,
    pub signs: bool,
    /// When it was made, or signed for the last time.
    pub since: DateTime<Utc>,
}

/// The keys of the data directory, the one that signs first.
pub fn list(config: &Config) -> Result<Vec<KeyState>> {
    let mut states = Vec::new();
    for (place, path) in paths(&of_folder(config)?)?.into_iter().enumerate() {
        if let Some(key) = AccessKey::read(&path)? {
            let since = fs::metadata(&path).and_then(|data| data.modified()).map_err(Error::ours)?;
            states.push(KeyState { id: key.id(), signs: place == 0, since: since.into() });
        }
    }
    Ok(states)
}

/// Makes a new key that signs from now on; the one before goes on checking, unless it is to be forgotten: then all access
/// tokens of that key end within seconds, and clients go on with their refresh tokens. Answers the new key's id.
pub fn rotate(config: &Config, forget: bool) -> Result<String> {
    let folder = of_folder(config)?;
    let current = current(&folder);
    let (before, next) = (AccessKey::read(&current)?, AccessKey::make()?);
    if let Some(before) = before.filter(|_| !forget) {
        before.write_new(&folder.join(format!("{RETIRED}{}.pem", before.id())))?;
    }
    next.replace(&current)?;
    let kept = KEPT.max(Duration::from_secs(config.identity.access_token_seconds));
    for path in paths(&folder)?.into_iter().skip(1) {
        let age = fs::metadata(&path).and_then(|data| data.modified()).ok().and_then(|since| since.elapsed().ok());
        if forget || age.is_some_and(|age| age > kept) {
            fs::remove_file(&path).map_err(Error::ours)?;
        }
    }
    Ok(next.id())
}

fn of_folder(config: &Config) -> Result<PathBuf> {
    match config.identity.signing_key {
        None => Ok(folder(config)),
        Some(_) => Err(Error::ours(
            "the setting identity.signing_key gives the key. To rotate it, make another with `openssl genpkey \
             -algorithm ed25519`, set it there, and the old one as identity.previous_signing_key",
        )),
    }
}

fn folder(config: &Config) -> PathBuf {
    config.data_dir.join("keys")
}

fn current(folder: &Path) -> PathBuf {
    folder.join("access.pem")
}

/// The key that signs and those before it.
fn paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = vec![current(folder)];
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(paths),
        Err(why) => return Err(Error::ours(format!("cannot read {}: {why}", folder.display()))),
    };
    for entry in entries {
        let path = entry.map_err(Error::ours)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(RETIRED) && name.ends_with(".pem") {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn read(folder: &Path) -> Result<Vec<AccessKey>> {
    paths(folder)?.iter().filter_map(|path| AccessKey::read(path).transpose()).collect()
}

fn stamp(folder: &Path) -> Option<SystemTime> {
    fs::metadata(folder).and_then(|data| data.modified()).ok()
}
