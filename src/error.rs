//! What can go wrong, in three kinds: *yours* (the caller, the transport or the client's document got it
//! wrong; it is told exactly what), *ours* (a fault of the server; the caller learns a request id, the log
//! the rest) and *too slow* (something Stoa depends on is away or late; the caller may try again).
//! Invariant: the message of an error of ours never reaches a client.

use std::{borrow::Cow, fmt, sync::Arc};

/// The codes of GraphQL errors, as `extensions.code`. What a user can mend is not here: see `UserErrorCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    BadRequest,
    GraphqlParseFailed,
    GraphqlValidationFailed,
    OperationResolutionFailure,
    BadUserInput,
    PersistedQueryNotFound,
    PersistedQueryNotSupported,
    PersistedQueryRequired,
    QueryTooLarge,
    QueryTooDeep,
    QueryTooComplex,
    CsrfPrevented,
    Unauthenticated,
    TwoFactorRequired,
    EmailNotVerified,
    Forbidden,
    OrganizationSuspended,
    NotFound,
    Conflict,
    InvalidCursor,
    RateLimited,
    QuotaExceeded,
    IdempotencyKeyReused,
    SubscriptionLimit,
    Timeout,
    ServiceUnavailable,
    InternalServerError,
}

impl Code {
    /// As it stands in `extensions.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::BadRequest => "BAD_REQUEST",
            Code::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Code::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Code::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
            Code::BadUserInput => "BAD_USER_INPUT",
            Code::PersistedQueryNotFound => "PERSISTED_QUERY_NOT_FOUND",
            Code::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
            Code::PersistedQueryRequired => "PERSISTED_QUERY_REQUIRED",
            Code::QueryTooLarge => "QUERY_TOO_LARGE",
            Code::QueryTooDeep => "QUERY_TOO_DEEP",
            Code::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Code::CsrfPrevented => "CSRF_PREVENTED",
            Code::Unauthenticated => "UNAUTHENTICATED",
            Code::TwoFactorRequired => "TWO_FACTOR_REQUIRED",
            Code::EmailNotVerified => "EMAIL_NOT_VERIFIED",
            Code::Forbidden => "FORBIDDEN",
            Code::OrganizationSuspended => "ORGANIZATION_SUSPENDED",
            Code::NotFound => "NOT_FOUND",
            Code::Conflict => "CONFLICT",
            Code::InvalidCursor => "INVALID_CURSOR",
            Code::RateLimited => "RATE_LIMITED",
            Code::QuotaExceeded => "QUOTA_EXCEEDED",
            Code::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Code::SubscriptionLimit => "SUBSCRIPTION_LIMIT",
            Code::Timeout => "TIMEOUT",
            Code::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Code::InternalServerError => "INTERNAL_SERVER_ERROR",
        }
    }
}

/// What the caller got wrong: a code, a sentence for the person who reads it, and further extensions.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: Code,
    pub message: Cow<'static, str>,
    /// More members of `extensions`, such as `reason` or `retryAfter`.
    pub extensions: Vec<(&'static str, serde_json::Value)>,
}

/// Any failure. Cheap to clone, so that a loader can hand one fault to all who waited for it.
#[derive(Clone, Debug)]
pub enum Error {
    /// The caller's fault, told in full.
    Yours(Arc<Refusal>),
    /// The server's fault: logged in full, told as INTERNAL_SERVER_ERROR.
    Ours(Arc<dyn std::error::Error + Send + Sync>),
    /// Something Stoa depends on is away or late: SERVICE_UNAVAILABLE or TIMEOUT, worth another try.
    TooSlow(Code, Arc<dyn std::error::Error + Send + Sync>),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A fault of the caller, with a sentence that says what to do.
    pub fn yours(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Error::Yours(Arc::new(Refusal { code, message: message.into(), extensions: Vec::new() }))
    }

    /// As `yours`, with further members of `extensions`.
    pub fn yours_with(
        code: Code,
        message: impl Into<Cow<'static, str>>,
        extensions: Vec<(&'static str, serde_json::Value)>,
    ) -> Self {
        Error::Yours(Arc::new(Refusal { code, message: message.into(), extensions }))
    }

    /// A fault of the server; `why` goes to the log only.
    pub fn ours(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Ours(Arc::from(why.into()))
    }

    /// Something Stoa depends on does not answer; `why` goes to the log only.
    pub fn unavailable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::TooSlow(Code::ServiceUnavailable, Arc::from(why.into()))
    }

    /// Not signed in, or no longer: `reason` is MISSING, EXPIRED, REVOKED or INVALID.
    pub fn unauthenticated(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::yours_with(Code::Unauthenticated, message, vec![("reason", reason.into())])
    }

    /// May not do that, and may know that it exists.
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::yours(Code::Forbidden, message)
    }

    /// Does not exist for this caller.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::yours(Code::NotFound, message)
    }

    /// A value in the document or its variables cannot be used.
    pub fn bad_input(message: impl Into<Cow<'static, str>>) -> Self {
        Self::yours(Code::BadUserInput, message)
    }

    /// The code that clients see.
    pub fn code(&self) -> Code {
        match self {
            Error::Yours(refusal) => refusal.code,
            Error::Ours(_) => Code::InternalServerError,
            Error::TooSlow(code, _) => *code,
        }
    }
}

/// What a client may read. The inner fault of *ours* and *too slow* is for the log (`{:?}`).
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Yours(refusal) => f.write_str(&refusal.message),
            Error::Ours(_) => {
                f.write_str("Something went wrong on the server. Name the request id when you report it.")
            }
            Error::TooSlow(Code::Timeout, _) => {
                f.write_str("This took too long and was stopped. Try a smaller request.")
            }
            Error::TooSlow(..) => f.write_str("The server cannot answer right now. Try again shortly."),
        }
    }
}

impl From<diesel::result::Error> for Error {
    fn from(fault: diesel::result::Error) -> Self {
        use diesel::result::{DatabaseErrorKind, Error as Fault};
        match &fault {
            Fault::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _) => {
                Error::unavailable(fault)
            }
            Fault::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => {
                Error::yours(Code::Conflict, "Somebody else changed the same records at the same moment. Try again.")
            }
            Fault::DatabaseError(DatabaseErrorKind::Unknown, info) => match info.message() {
                m if m.contains("statement timeout") || m.contains("lock timeout") => {
                    Error::TooSlow(Code::Timeout, Arc::new(fault))
                }
                m if m.contains("terminating connection")
                    || m.contains("connection closed")
                    || m.contains("shutting down")
                    || m.contains("starting up") =>
                {
                    Error::unavailable(fault)
                }
                m if m.contains("deadlock detected") => Error::yours(
                    Code::Conflict,
                    "Somebody else changed the same records at the same moment. Try again.",
                ),
                _ => Error::ours(fault),
            },
            _ => Error::ours(fault),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(fault: serde_json::Error) -> Self {
        Error::ours(fault)
    }
}
