//! Every maximum of authentication and authorisation, with its unit.

use std::num::NonZeroU32;
use std::time::Duration;

/// Rounds of PBKDF2-HMAC-SHA256 for a new password (OWASP's Password Storage Cheat Sheet, 2023).
pub const PASSWORD_ITERATIONS: NonZeroU32 = NonZeroU32::new(600_000).expect("not zero");
/// Most rounds that a stored password may ask for.
pub const PASSWORD_ITERATIONS_MAX: u32 = 10_000_000;
/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Longest login, in bytes.
pub const LOGIN_BYTES_MAX: usize = 128;
/// Longest full name, in bytes.
pub const FULL_NAME_BYTES_MAX: usize = 256;
/// Most groups of one user.
pub const GROUPS_MAX: usize = 64;
/// Longest name of a group, in bytes.
pub const GROUP_BYTES_MAX: usize = 128;
/// Most users in one answer.
pub const USERS_LISTED_MAX: usize = 10_000;
/// Longest `authorization` header, in bytes.
pub const HEADER_BYTES_MAX: usize = 8_192;

/// Passwords that are hashed at once, each on a thread of its own.
pub const HASHES_AT_ONCE: usize = 2;
/// Passwords that are hashed or wait for it; one more is refused.
pub const HASHES_PENDING_MAX: usize = 64;
/// Different credentials under verification at once.
pub const VERIFICATIONS_MAX: usize = 256;
/// Verified credentials that are remembered.
pub const VERIFIED_MAX: usize = 4_096;
/// For how long verified credentials are remembered without a look at the user.
pub const VERIFIED_FOR: Duration = Duration::from_secs(300);

/// Streams whose access control list is remembered.
pub const ACLS_MAX: usize = 4_096;
/// For how long an access control list is remembered: as long may a change that another server made go unnoticed.
pub const ACLS_FOR: Duration = Duration::from_secs(10);
/// Longest access control list: all its roles together, in bytes.
pub const ACL_BYTES_MAX: usize = 8_192;
/// Most roles of one right.
pub const ACL_ROLES_MAX: usize = 256;

/// Attempts to change a user that others change at the same time.
pub const CHANGE_ATTEMPTS: usize = 3;
