//! Who asks.
//!
//! Relies on: nothing. Never: decides what somebody may do; that is `policy`.

use std::sync::Arc;

/// The group whose members may do everything; also the role that means them.
pub const ADMINS: &str = "$admins";
/// The group whose members operate the server.
pub const OPS: &str = "$ops";
/// The role that means everybody who is authenticated.
pub const ALL: &str = "$all";

/// Who asks. Cloning one is cheap.
///
/// ```
/// use factum_server::auth::Caller;
/// let anna = Caller::user("anna", ["accounting".to_owned()]);
/// assert!(anna.is_authenticated() && anna.has_role("accounting") && !anna.is_admin());
/// assert!(Caller::system().is_admin());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Caller {
    /// Somebody who gave no credentials.
    #[default]
    Anonymous,
    /// A user whose credentials were verified.
    User {
        /// Under which name.
        login: Arc<str>,
        /// Groups the user belonged to then.
        groups: Arc<[String]>,
    },
}

impl Caller {
    /// A user with this login, in these groups.
    #[must_use]
    pub fn user(login: &str, groups: impl IntoIterator<Item = String>) -> Self {
        Self::User {
            login: Arc::from(login),
            groups: groups.into_iter().collect(),
        }
    }

    /// Who the server itself is, and everybody in insecure mode: `system`, an admin.
    #[must_use]
    pub fn system() -> Self {
        Self::user("system", [ADMINS.to_owned()])
    }

    /// The login, `None` when anonymous.
    #[must_use]
    pub fn login(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::User { login, .. } => Some(login),
        }
    }

    /// Whether credentials were verified.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        matches!(self, Self::User { .. })
    }

    /// Whether this is a member of [`ADMINS`].
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.is_member(ADMINS)
    }

    /// Whether this is a member of [`OPS`] or of [`ADMINS`].
    #[must_use]
    pub fn is_ops(&self) -> bool {
        self.is_member(OPS) || self.is_admin()
    }

    /// Whether an access control list means this caller by `role`: [`ALL`], the user's login, or one of the groups.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        match self {
            Self::Anonymous => false,
            _ if role == ALL => true,
            // Roles of the system are groups; no login may pass for one.
            Self::User { login, .. } if !role.starts_with('$') && &**login == role => true,
            Self::User { .. } => self.is_member(role),
        }
    }

    fn is_member(&self, group: &str) -> bool {
        match self {
            Self::Anonymous => false,
            Self::User { groups, .. } => groups.iter().any(|of| of == group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Caller;

    #[test]
    fn a_role_is_everybody_a_login_or_a_group() {
        let check = |caller: &Caller, role: &str, expected: bool| {
            assert_eq!(caller.has_role(role), expected, "{caller:?} {role}");
        };
        let anna = Caller::user("anna", ["readers".to_owned()]);
        check(&anna, "$all", true);
        check(&anna, "anna", true);
        check(&anna, "readers", true);
        check(&anna, "Anna", false);
        check(&anna, "$admins", false);
        check(&Caller::Anonymous, "$all", false);
        check(&Caller::Anonymous, "", false);
        check(&Caller::user("$admins", []), "$admins", false);
    }

    #[test]
    fn admins_are_ops_too() {
        let of = |group: &str| Caller::user("x", [group.to_owned()]);
        assert!(of("$admins").is_ops() && of("$admins").is_admin());
        assert!(of("$ops").is_ops() && !of("$ops").is_admin());
        assert!(!Caller::Anonymous.is_ops() && !Caller::user("x", []).is_ops());
    }
}
