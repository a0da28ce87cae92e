//! A file from the web, whole or not at all.
//!
//! ```text
//!  URL ─> connect ─> request ─> redirect? (again, from the new URL, a few times)
//!                        │
//!                        ├─> 200: from the start          ─┐
//!                        ├─> 206: goes on where it broke  ─┴─> bytes ─> whole: done
//!                        └─> broken, silent, ill  <────────────┘ broke off, silent
//!                                 └─> pause, longer each time ─> from the first URL again, a few times
//! ```
//! *Invariant:* bounded: bytes (told or counted), time without a byte, tries, redirects.
//! *Invariant:* what the bytes are is not judged here.

mod answer;
mod connect;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tests;
mod url;

pub(crate) use connect::{ConnectError, Roots};
pub(crate) use url::{RedirectError, UrlError, WebUrl};

use answer::{NotTaken, Partial, Take, judge};
use connect::Connector;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, HOST, IF_RANGE, LOCATION, RANGE, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use ironcache_types::MAX_ARTIFACT_BYTES;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::time::Duration;
use tokio::time::timeout;

/// What a download may take.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: u64,
    /// Connect, and prove who it is.
    pub(crate) connect: Duration,
    /// Without a byte: longer, and a dead connection holds the operator up; shorter, and a busy server is left.
    pub(crate) silence: Duration,
    /// How often it is tried again after it broke.
    pub(crate) retries: u32,
    /// Before the first of them; doubled each time, up to [`PAUSE_MAX`].
    pub(crate) first_pause: Duration,
    /// How often one request is led on. Release pages lead on once or twice; a circle never ends.
    pub(crate) redirects: u32,
}

/// Longer, and somebody who watches would rather begin anew by hand.
const PAUSE_MAX: Duration = Duration::from_secs(4);

impl Default for Limits {
    /// The pauses of eight tries are 20 s together: a server's restart.
    fn default() -> Self {
        Limits {
            max_bytes: MAX_ARTIFACT_BYTES,
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            retries: 8,
            first_pause: Duration::from_millis(250),
            redirects: 5,
        }
    }
}

/// Who watches.
pub(crate) trait Progress {
    fn at(&self, received_bytes: u64, total_bytes: Option<u64>);
    /// Something went otherwise than hoped, and it goes on.
    fn say(&self, line: &str);
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    #[error("{url} is refused: it has {size_bytes} bytes, and {max_bytes} are the most")]
    TooLarge { url: String, size_bytes: u64, max_bytes: u64 },
    #[error("{url} is refused: more than {max_bytes} bytes came")]
    Endless { url: String, max_bytes: u64 },
    #[error("{url} answers in the encoding {encoding}, although the bytes themselves were asked for")]
    Encoded { url: String, encoding: String },
    #[error("{url} answers {status}")]
    Status { url: String, status: StatusCode },
    #[error(transparent)]
    Redirect(#[from] RedirectError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{url} was given up after {tries} tries, with {received_bytes} bytes received")]
    GaveUp { url: String, tries: u32, received_bytes: u64, source: Broken },
    #[error("could not write the download in {}", std::env::temp_dir().display())]
    Disk { source: io::Error },
}

impl DownloadError {
    /// Nobody answered, or not in time; what did answer would not do at another time either.
    pub(crate) fn is_unreachable(&self) -> bool {
        match self {
            DownloadError::GaveUp { .. } => true,
            DownloadError::Connect(error) => error.may_pass(),
            DownloadError::TooLarge { .. }
            | DownloadError::Endless { .. }
            | DownloadError::Encoded { .. }
            | DownloadError::Status { .. }
            | DownloadError::Redirect(_)
            | DownloadError::Disk { .. } => false,
        }
    }
}

/// Why a try ended before its time, and may be followed by another.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Connect(ConnectError),
    #[error("the connection broke")]
    Http(#[source] hyper::Error),
    #[error("nothing came for {} s", .after.as_secs())]
    Silent { after: Duration },
    #[error("the server answers {0}")]
    Ill(StatusCode),
    #[error("the server does not go on with the same file")]
    OtherFile,
    #[error("the answer ended before the file did")]
    Short,
}

/// Downloads `url` to the start of `file`, which is empty. After an error it holds anything.
///
/// # Errors
/// Why there is no file.
pub(crate) async fn fetch(
    url: &WebUrl,
    file: &mut File,
    limits: &Limits,
    roots: Roots,
    progress: &dyn Progress,
) -> Result<(), DownloadError> {
    let connector = Connector::new(roots, Matcher::from_env());
    let partial = Partial::default();
    Download { url, file, limits, progress, connector, partial, answered: false }.run().await
}

struct Download<'a> {
    url: &'a WebUrl,
    file: &'a mut File,
    limits: &'a Limits,
    progress: &'a dyn Progress,
    connector: Connector,
    partial: Partial,
    /// Somebody was there once.
    answered: bool,
}

/// How a try ends, if not in an error for good.
enum Ended {
    Whole,
    Broken(Broken),
}

impl Download<'_> {
    async fn run(mut self) -> Result<(), DownloadError> {
        let mut tries = 1;
        let mut pause = self.limits.first_pause;
        loop {
            let broken = match self.attempt().await? {
                Ended::Whole => return Ok(()),
                Ended::Broken(broken) => broken,
            };
            let received_bytes = self.partial.received_bytes;
            match broken {
                // An address at which nobody ever answered is more likely wrong than ill.
                Broken::Connect(error) if !self.answered || !error.may_pass() => return Err(error.into()),
                source if tries > self.limits.retries => {
                    let url = self.url.to_string();
                    return Err(DownloadError::GaveUp { url, tries, received_bytes, source });
                }
                again => {
                    let why = ironcache_types::chain(&again);
                    let from = match self.partial.can_go_on() {
                        true => format!("going on at {received_bytes} bytes"),
                        false => "beginning anew".to_owned(),
                    };
                    let (next, of) = (tries + 1, self.limits.retries + 1);
                    self.progress.say(&format!("{why}: {from} (try {next} of {of})"));
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
            tries += 1;
        }
    }

    async fn attempt(&mut self) -> Result<Ended, DownloadError> {
        let (at, response) = match self.ask().await? {
            Ok(answered) => answered,
            Err(broken) => return Ok(Ended::Broken(broken)),
        };
        self.answered = true;
        let max_bytes = self.limits.max_bytes;
        let url = || at.to_string();
        match judge(&self.partial, response.status(), response.headers(), max_bytes) {
            Ok(Take::GoOn) => {}
            Ok(Take::FromStart(partial)) => self.begin(partial)?,
            Err(NotTaken::Anew) => {
                self.begin(Partial::default())?;
                return Ok(Ended::Broken(Broken::OtherFile));
            }
            Err(NotTaken::Later(status)) => return Ok(Ended::Broken(Broken::Ill(status))),
            Err(NotTaken::TooLarge { size_bytes }) => {
                return Err(DownloadError::TooLarge { url: url(), size_bytes, max_bytes });
            }
            Err(NotTaken::Encoded { encoding }) => {
                return Err(DownloadError::Encoded { url: url(), encoding });
            }
            Err(NotTaken::Refused(status)) => return Err(DownloadError::Status { url: url(), status }),
        }
        self.take(response.into_body()).await
    }

    /// The answer of where the URL leads to in the end, and that place. Each try begins at the first URL: where it leads to
    /// may hold for minutes only.
    async fn ask(&mut self) -> Result<Result<(WebUrl, Response<Incoming>), Broken>, DownloadError> {
        let mut at = self.url.clone();
        for _ in 0..=self.limits.redirects {
            let response = match self.request(&at).await {
                Ok(response) => response,
                Err(broken) => return Ok(Err(broken)),
            };
            if !leads_on(response.status()) {
                return Ok(Ok((at, response)));
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            at = at.follow(location.ok_or_else(|| RedirectError::Nowhere { from: at.to_string() })?)?;
        }
        let (first, limit) = (self.url.to_string(), self.limits.redirects);
        Err(RedirectError::TooMany { first, limit }.into())
    }

    async fn request(&mut self, url: &WebUrl) -> Result<Response<Incoming>, Broken> {
        let after = self.limits.connect;
        let timed_out = || ConnectError::TimedOut { host: url.host(), after_s: after.as_secs() };
        let opened = timeout(after, self.connector.open(url)).await.unwrap_or_else(|_| Err(timed_out()));
        let wire = TokioIo::new(opened.map_err(Broken::Connect)?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(wire).await.map_err(Broken::Http)?;
        // It ends with the answer's body. How it ended is told there.
        tokio::spawn(connection);
        let mut request = Request::get(url.path_and_query())
            .header(HOST, url.authority())
            .header(USER_AGENT, "ironcache")
            // Compressed bytes are not those whose digest is known.
            .header(ACCEPT_ENCODING, "identity");
        if let (true, Some(validator)) = (self.partial.can_go_on(), &self.partial.validator) {
            request = request
                .header(RANGE, format!("bytes={}-", self.partial.received_bytes))
                .header(IF_RANGE, validator);
        }
        let request = request.body(Empty::<Bytes>::new()).expect("a URL that was parsed fits in a request");
        let after = self.limits.silence;
        let sent = timeout(after, sender.send_request(request)).await;
        sent.map_err(|_| Broken::Silent { after })?.map_err(Broken::Http)
    }

    /// What the file will be begins here.
    fn begin(&mut self, partial: Partial) -> Result<(), DownloadError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.map_err(|source| DownloadError::Disk { source })?;
        self.partial = partial;
        Ok(())
    }

    async fn take(&mut self, mut body: Incoming) -> Result<Ended, DownloadError> {
        let after = self.limits.silence;
        loop {
            let frame = match timeout(after, body.frame()).await {
                Err(_) => return Ok(Ended::Broken(Broken::Silent { after })),
                Ok(Some(Err(error))) => return Ok(Ended::Broken(Broken::Http(error))),
                Ok(None) if self.partial.is_whole() => return Ok(Ended::Whole),
                Ok(None) => return Ok(Ended::Broken(Broken::Short)),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(bytes) = frame.into_data() else { continue };
            let received_bytes = self.partial.received_bytes + bytes.len() as u64;
            let max_bytes = self.partial.total_bytes.unwrap_or(u64::MAX).min(self.limits.max_bytes);
            if received_bytes > max_bytes {
                return Err(DownloadError::Endless { url: self.url.to_string(), max_bytes });
            }
            // The command has nothing else to do meanwhile, and the page cache takes it.
            self.file.write_all(&bytes).map_err(|source| DownloadError::Disk { source })?;
            self.partial.received_bytes = received_bytes;
            self.progress.at(received_bytes, self.partial.total_bytes);
        }
    }
}

fn leads_on(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}
