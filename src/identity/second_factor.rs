//! The second factor of a sign-in: a code of the person's authenticator, or one of the recovery codes that are kept for the
//! day on which it is lost. Invariant: a code works once, whatever number of requests gives it at the same moment; after
//! one of an authenticator those before it are worthless, too.

use super::{
    totp,
    user_token::{self, Purpose},
};
use crate::{
    app::App,
    error::Result,
    platform::{database::Transaction, random::random},
    schema::users,
};
use chrono::{DateTime, Utc};
use data_encoding::BASE32_NOPAD;
use diesel::{
    dsl::array_remove,
    prelude::*,
    sql_types::{Array, Binary, Bool, Nullable},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// To whoever gave the right password only.
pub const MISSING: &str = "Give the code that your authenticator shows as well, or a recovery code.";
/// To whoever gave no code that works now, for whatever reason.
pub const WRONG: &str = "This is not a code that can be used now. Each works once: wait for the next.";

/// What secrets of authenticators are sealed for.
const PURPOSE: &str = "totp";
/// Recovery codes that a person gets.
const CODES: usize = 10;
/// Random bytes of a recovery code: too many to be guessed from its hash, and 16 characters.
const CODE: usize = 10;
/// Characters of a recovery code between two hyphens.
const GROUP: usize = 4;

/// Uses a code up, in the caller's transaction or at once. False: it is none of the person's, or was used before; also when
/// the person has no second factor, or their account is disabled or, but for a known device, locked. Whoever asks counts
/// the failures.
pub async fn spend(app: &App, conn: &mut AsyncPgConnection, user: Uuid, code: &str, known: bool) -> Result<bool> {
    let unlocked = users::locked_until.is_null().or(users::locked_until.le(Utc::now()));
    let on = users::table.find(user).filter(users::totp_confirmed_at.is_not_null());
    let on = on.filter(users::disabled_at.is_null()).filter(unlocked.or(known.into_sql::<Bool>()));
    let spent = match Code::read(code) {
        None => 0,
        Some(Code::Shown(code)) => {
            let sealed: Option<Option<Vec<u8>>> = on.select(users::totp_secret).first(conn).await.optional()?;
            let Some(sealed) = sealed.flatten() else { return Ok(false) };
            let Some(secret) = open(app, user, &sealed) else { return Ok(false) };
            let Some(step) = totp::step_of(&secret, &code, Utc::now()) else { return Ok(false) };
            // Of many at once the first has the row; the others wait for it here and find their step gone.
            diesel::update(on)
                .filter(users::totp_secret.eq(sealed).and(users::totp_last_step.lt(step)))
                .set(users::totp_last_step.eq(step))
                .execute(conn)
                .await?
        }
        Some(Code::Recovery(code)) => {
            let hash = hash(user, &code);
            let left = array_remove::<Array<Nullable<Binary>>, Nullable<Binary>, _, _>(
                users::recovery_hashes,
                Some(hash.clone()),
            );
            diesel::update(on)
                .filter(users::recovery_hashes.contains(vec![Some(hash)]))
                .set(users::recovery_hashes.eq(left))
                .execute(conn)
                .await?
        }
    };
    Ok(spent == 1)
}

/// Switches the second factor off: the authenticator, the recovery codes and challenges that are open are worthless.
pub async fn forget(tx: &mut Transaction, user: Uuid) -> Result<()> {
    diesel::update(users::table.find(user))
        .set((
            users::totp_secret.eq(None::<Vec<u8>>),
            users::totp_confirmed_at.eq(None::<DateTime<Utc>>),
            users::recovery_hashes.eq(Vec::<Option<Vec<u8>>>::new()),
            users::updated_at.eq(Utc::now()),
        ))
        .execute(&mut **tx)
        .await?;
    user_token::void(tx, &[Purpose::SignIn], user).await
}

/// The secret in the form in which it is stored.
pub fn seal(app: &App, user: Uuid, secret: &[u8]) -> Result<Vec<u8>> {
    app.vault.seal(PURPOSE, user, secret)
}

/// The step whose code this is, by the secret as it is stored.
pub fn step_of(app: &App, user: Uuid, sealed: &[u8], code: &str) -> Option<i64> {
    match Code::read(code)? {
        Code::Shown(code) => totp::step_of(&open(app, user, sealed)?, &code, Utc::now()),
        Code::Recovery(_) => None,
    }
}

fn open(app: &App, user: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
    let secret = app.vault.open(PURPOSE, user, sealed);
    if secret.is_none() {
        tracing::error!(%user, "the secret of an authenticator cannot be read: is identity.encryption_key another one?");
    }
    secret
}

/// As an array of bytes comes from the database; none is null.
type Hashes = Vec<Option<Vec<u8>>>;

/// New recovery codes and what is stored of them.
pub fn recovery_codes(user: Uuid) -> Result<(Vec<String>, Hashes)> {
    let (mut codes, mut hashes) = (Vec::with_capacity(CODES), Vec::with_capacity(CODES));
    for _ in 0..CODES {
        let code: [u8; CODE] = random()?;
        let letters: Vec<char> = BASE32_NOPAD.encode(&code).to_ascii_lowercase().chars().collect();
        let groups: Vec<String> = letters.chunks(GROUP).map(|group| group.iter().collect()).collect();
        codes.push(groups.join("-"));
        hashes.push(Some(hash(user, &code)));
    }
    Ok((codes, hashes))
}

/// With the person, so that no row is worth anything as another's. 80 random bits need no salt and no slow hash.
fn hash(user: Uuid, code: &[u8; CODE]) -> Vec<u8> {
    Sha256::new().chain_update(user.as_bytes()).chain_update(code).finalize().to_vec()
}

/// A code by its form.
enum Code {
    /// By an authenticator.
    Shown(String),
    Recovery([u8; CODE]),
}

impl Code {
    /// However people write it: with spaces or hyphens, in any case. `None`: it cannot be one.
    fn read(given: &str) -> Option<Self> {
        let most = BASE32_NOPAD.encode_len(CODE);
        let bare = given.chars().filter(|c| !c.is_whitespace() && *c != '-').take(most + 1).collect::<String>();
        if bare.len() == totp::DIGITS && bare.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Code::Shown(bare));
        }
        let code = BASE32_NOPAD.decode(bare.to_ascii_uppercase().as_bytes()).ok()?;
        code.try_into().ok().map(Code::Recovery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_written() {
        for shown in ["123456", " 123 456 ", "123-456"] {
            assert!(matches!(Code::read(shown), Some(Code::Shown(code)) if code == "123456"), "{shown}");
        }
        let user = Uuid::new_v4();
        let (codes, hashes) = recovery_codes(user).unwrap();
        assert_eq!((codes.len(), hashes.len()), (CODES, CODES));
        for (code, stored) in codes.iter().zip(hashes) {
            assert_eq!(code.len(), 19, "{code}");
            for written in [code.clone(), code.to_uppercase(), code.replace('-', " "), code.replace('-', "")] {
                let Some(Code::Recovery(code)) = Code::read(&written) else { panic!("{written}") };
                assert_eq!(Some(hash(user, &code)), stored);
                assert_ne!(Some(hash(Uuid::new_v4(), &code)), stored, "of nobody else");
            }
        }
        for other in
            ["", "12345", "1234567", "٠٥٠٤٧١", "0000-0000-0000-0000", "abcd-efgh-ijkl-mno", &"a".repeat(100_000)]
        {
            assert!(Code::read(other).is_none(), "{other:.40}");
        }
    }
}
