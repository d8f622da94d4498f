//! Users over the wire.

use std::pin::Pin;
use std::sync::Arc;

use factum_proto::kurrent::users::users_server::Users;
use factum_proto::kurrent::users::{
    ChangePasswordReq, ChangePasswordResp, CreateReq, CreateResp, DeleteReq, DeleteResp,
    DetailsReq, DetailsResp, DisableReq, DisableResp, EnableReq, EnableResp, ResetPasswordReq,
    ResetPasswordResp, UpdateReq, UpdateResp, details_resp,
};
use futures_core::Stream;
use futures_util::stream;
use tonic::{Code, Request, Response, Status};

use crate::auth::{Caller, NewUser, Operation, Target, UserDetails, UserError};
use crate::guard::caller;
use crate::node::Node;
use crate::wire::errors;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct UsersService {
    node: Arc<Node>,
}

impl UsersService {
    pub(crate) const fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn allow(
        &self,
        caller: &Caller,
        operation: Operation,
        login: &str,
    ) -> Result<(), Status> {
        self.node
            .allow(caller, operation, Target::User(login))
            .await
    }
}

#[tonic::async_trait]
impl Users for UsersService {
    type DetailsStream = Pin<Box<dyn Stream<Item = Result<DetailsResp, Status>> + Send>>;

    async fn create(&self, request: Request<CreateReq>) -> Result<Response<CreateResp>, Status> {
        let caller = caller(&request);
        let options = request.into_inner().options.unwrap_or_default();
        self.allow(&caller, Operation::CreateUser, &options.login_name)
            .await?;
        let user = NewUser {
            login: options.login_name,
            full_name: options.full_name,
            groups: options.groups,
            password: options.password,
        };
        self.node.auth.users().create(user).await.map_err(told)?;
        Ok(Response::new(CreateResp {}))
    }

    async fn update(&self, request: Request<UpdateReq>) -> Result<Response<UpdateResp>, Status> {
        let caller = caller(&request);
        let options = request.into_inner().options.unwrap_or_default();
        let login = options.login_name;
        self.allow(&caller, Operation::UpdateUser, &login).await?;
        let users = self.node.auth.users();
        users
            .update(&login, &options.full_name, &options.groups)
            .await
            .map_err(told)?;
        Ok(Response::new(UpdateResp {}))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        let caller = caller(&request);
        let login = request.into_inner().options.unwrap_or_default().login_name;
        self.allow(&caller, Operation::DeleteUser, &login).await?;
        self.node.auth.users().delete(&login).await.map_err(told)?;
        Ok(Response::new(DeleteResp {}))
    }

    async fn disable(&self, request: Request<DisableReq>) -> Result<Response<DisableResp>, Status> {
        let caller = caller(&request);
        let login = request.into_inner().options.unwrap_or_default().login_name;
        self.allow(&caller, Operation::DisableUser, &login).await?;
        self.node.auth.users().disable(&login).await.map_err(told)?;
        Ok(Response::new(DisableResp {}))
    }

    async fn enable(&self, request: Request<EnableReq>) -> Result<Response<EnableResp>, Status> {
        let caller = caller(&request);
        let login = request.into_inner().options.unwrap_or_default().login_name;
        self.allow(&caller, Operation::EnableUser, &login).await?;
        self.node.auth.users().enable(&login).await.map_err(told)?;
        Ok(Response::new(EnableResp {}))
    }

    async fn details(
        &self,
        request: Request<DetailsReq>,
    ) -> Result<Response<Self::DetailsStream>, Status> {
        let caller = caller(&request);
        let login = request
            .into_inner()
            .options
            .map(|options| options.login_name)
            .unwrap_or_default();
        let users = self.node.auth.users();
        let found = if login.is_empty() {
            self.allow(&caller, Operation::ListUsers, &login).await?;
            users.all().await.map_err(told)?
        } else {
            self.allow(&caller, Operation::UserDetails, &login).await?;
            vec![users.details(&login).await.map_err(told)?]
        };
        let answers = stream::iter(found.into_iter().map(|user| Ok(shown(user))));
        Ok(Response::new(Box::pin(answers)))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordReq>,
    ) -> Result<Response<ChangePasswordResp>, Status> {
        let caller = caller(&request);
        let options = request.into_inner().options.unwrap_or_default();
        self.allow(&caller, Operation::ChangePassword, &options.login_name)
            .await?;
        let users = self.node.auth.users();
        users
            .change_password(
                &options.login_name,
                &options.current_password,
                &options.new_password,
            )
            .await
            .map_err(told)?;
        Ok(Response::new(ChangePasswordResp {}))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordReq>,
    ) -> Result<Response<ResetPasswordResp>, Status> {
        let caller = caller(&request);
        let options = request.into_inner().options.unwrap_or_default();
        self.allow(&caller, Operation::ResetPassword, &options.login_name)
            .await?;
        let users = self.node.auth.users();
        users
            .reset_password(&options.login_name, &options.new_password)
            .await
            .map_err(told)?;
        Ok(Response::new(ResetPasswordResp {}))
    }
}

fn shown(user: UserDetails) -> DetailsResp {
    let ticks = user.updated.as_micros().saturating_mul(10);
    DetailsResp {
        user_details: Some(details_resp::UserDetails {
            login_name: user.login,
            full_name: user.full_name,
            groups: user.groups,
            last_updated: Some(details_resp::user_details::DateTime {
                ticks_since_epoch: ticks,
            }),
            disabled: user.disabled,
        }),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn told(error: UserError) -> Status {
    match &error {
        UserError::NotFound(login) => errors::with(
            Code::NotFound,
            format!("User '{login}' is not found."),
            &[("exception", "user-not-found"), ("login-name", login)],
        ),
        UserError::Conflict(login) => errors::with(
            Code::FailedPrecondition,
            "Conflict.",
            &[("exception", "user-conflict"), ("login-name", login)],
        ),
        UserError::TryAgain(_) => Status::deadline_exceeded("Try again."),
        UserError::WrongPassword(_) => errors::access_denied(),
        UserError::Invalid(_) => Status::invalid_argument(error.to_string()),
        UserError::Busy => Status::unavailable("Server Is Too Busy"),
        UserError::Store { error, .. } => errors::store(error, None),
        UserError::Damaged { .. } => Status::data_loss(error.to_string()),
    }
}
