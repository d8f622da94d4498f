//! The first users of a store: `admin` and `ops`.
//!
//! Relies on: what was stored about whether a password is the default one. Never: lets a server that is open to others start while
//! everybody knows a password of it.

use std::fmt::Write as _;

use super::record::Found;
use super::{NewUser, Users, find, stored};
use crate::auth::error::{StartError, UserError};
use crate::auth::{ADMINS, DEFAULT_PASSWORD, Mode, OPS, Options};

const ADMIN_LOGIN: &str = "admin";
const OPS_LOGIN: &str = "ops";

impl Users {
    /// Makes the first users where there are none, and sees to it that nobody has the default password who must not.
    pub(in crate::auth) async fn begin(&self, options: &Options) -> Result<(), StartError> {
        if self.logins().await?.is_empty() {
            match self.make_first(options).await {
                // Another server over the same store was faster.
                Err(StartError::Users(UserError::Conflict(_))) => (),
                made => return made,
            }
        }
        if options.mode == Mode::Secure {
            self.leave_default(ADMIN_LOGIN, options.admin_password.as_deref())
                .await?;
            self.leave_default(OPS_LOGIN, options.ops_password.as_deref())
                .await?;
        }
        Ok(())
    }

    async fn make_first(&self, options: &Options) -> Result<(), StartError> {
        let open = options.mode == Mode::Secure;
        let fallback = (!open).then_some(DEFAULT_PASSWORD);
        let password = options.admin_password.as_deref().or(fallback);
        let password = password.ok_or(StartError::NoPassword)?;
        if open && password == DEFAULT_PASSWORD {
            warn_of_default(ADMIN_LOGIN);
        }
        let admin = first(ADMIN_LOGIN, "Administrator", ADMINS, password);
        let ops_password = options.ops_password.as_deref().or(fallback);
        let unknown = self.unknown_password();
        let ops = first(
            OPS_LOGIN,
            "Operations",
            OPS,
            ops_password.unwrap_or(&unknown),
        );
        let ops = self.new_record(ops, ops_password.is_none()).await?;
        let admin = self.new_record(admin, false).await?;
        self.create_all(ADMIN_LOGIN, &[admin, ops]).await?;
        if ops_password.is_none() {
            tracing::info!(
                "the user ops was made without a password, and is disabled until an admin resets it"
            );
        }
        Ok(())
    }

    /// A user who still has the default password is given another, or the server does not start.
    async fn leave_default(
        &self,
        login: &'static str,
        given: Option<&str>,
    ) -> Result<(), StartError> {
        let found = find(&*self.store, login).await;
        let found = found.map_err(|error| stored(login, error))?;
        let Found::User(user) = found else {
            return Ok(());
        };
        if user.record.disabled || !user.record.default_password {
            return Ok(());
        }
        match given {
            None => Err(StartError::DefaultPassword { login }),
            Some(DEFAULT_PASSWORD) => {
                warn_of_default(login);
                Ok(())
            }
            Some(password) => {
                self.reset_password(login, password).await?;
                tracing::info!(
                    "the user {login} had the default password, and has the given one now"
                );
                Ok(())
            }
        }
    }

    /// A password that nobody is told.
    fn unknown_password(&self) -> String {
        let mut bytes = [0; 32];
        self.random.fill(&mut bytes);
        let mut text = String::new();
        for byte in bytes {
            let written = write!(text, "{byte:02x}");
            debug_assert!(written.is_ok(), "a string takes what is written to it");
        }
        text
    }
}

fn first(login: &str, full_name: &str, group: &str, password: &str) -> NewUser {
    NewUser {
        login: login.to_owned(),
        full_name: full_name.to_owned(),
        groups: vec![group.to_owned()],
        password: password.to_owned(),
    }
}

fn warn_of_default(login: &str) {
    tracing::warn!("the user {login} has the default password, which everybody knows: change it");
}
