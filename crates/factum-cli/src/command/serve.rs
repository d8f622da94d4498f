//! `factum serve`.

use std::io::IsTerminal;
use std::net::SocketAddr;

use clap::ValueEnum;
use factum_server::{Options, Server};
use serde_json::json;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::store::{self, Access};

/// How to serve.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Serves the store to the official KurrentDB and EventStoreDB clients, unchanged, and over plain HTTP, all on one port. \
Ctrl-C or SIGTERM stop it in order: subscriptions end, appends under way are answered.",
    after_long_help = "Examples:\n  factum serve --insecure\n  factum serve --insecure --listen 0.0.0.0:2113 --advertise events.example.org:2113\n\n\
Clients connect with kurrentdb://localhost:2113?tls=false, or esdb://localhost:2113?tls=false."
)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:2113",
        env = "FACTUM_LISTEN"
    )]
    listen: SocketAddr,
    /// The host and port that clients are told to use, where they differ from those they used
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port, env = "FACTUM_ADVERTISE")]
    advertise: Option<(String, u16)>,
    /// No TLS, no passwords: everybody who reaches the port may do everything
    #[arg(long, env = "FACTUM_INSECURE")]
    insecure: bool,
    /// What is logged, on standard error
    #[arg(
        long,
        value_enum,
        default_value = "info",
        value_name = "LEVEL",
        env = "FACTUM_LOG"
    )]
    log: Level,
    /// How it is logged
    #[arg(
        long,
        value_enum,
        default_value = "text",
        value_name = "FORMAT",
        env = "FACTUM_LOG_FORMAT"
    )]
    log_format: LogFormat,
}

/// What is logged.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    /// What went wrong
    Error,
    /// And what may go wrong
    Warn,
    /// And what happened
    Info,
    /// And every connection that ended early
    Debug,
}

/// How it is logged.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// Serves until it is told to stop.
pub(crate) fn run(args: &ServeArgs, context: &mut Context) -> Outcome {
    if !args.insecure {
        return Err(Failure::usage("only --insecure is served so far"));
    }
    begin_log(args);
    let interrupt = Interrupt::watch(&context.env)?;
    let store = store::open(context, Access::Create)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the server's threads", &error))?;
    let served = runtime.block_on(serve(args, &store, &interrupt, context));
    drop(runtime);
    let closed = store.close();
    served.and(closed)
}

async fn serve(
    args: &ServeArgs,
    store: &store::Store,
    interrupt: &Interrupt,
    context: &mut Context,
) -> Outcome {
    let mut options = Options::default();
    options.address = args.listen;
    options.advertise.clone_from(&args.advertise);
    options.insecure = args.insecure;
    let server = Server::bind(store.whole.clone(), options, context.env.clone())
        .await
        .map_err(|error| Failure::new(Exit::Unreachable, "listen", error.to_string()))?;
    let address = server.address();
    let words = format!("listening on http://{address} (no TLS, no passwords)\n");
    context
        .ui
        .answer(&words, &json!({ "address": address.to_string() }))?;
    context.ui.flush()?;
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
    server.run(interrupt).await;
    Ok(())
}

fn begin_log(args: &ServeArgs) {
    let level = match args.log {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    // What libraries say is about their own insides.
    let ours = Targets::new().with_target("factum", level);
    let log = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => tracing_subscriber::registry()
            .with(log.with_filter(ours))
            .init(),
        LogFormat::Json => tracing_subscriber::registry()
            .with(log.json().with_filter(ours))
            .init(),
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("{text:?} is not HOST:PORT"))?;
    let port = port
        .parse()
        .map_err(|error| format!("the port {port:?} of {text:?}: {error}"))?;
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() {
        return Err(format!("{text:?} names no host"));
    }
    Ok((host.to_owned(), port))
}
