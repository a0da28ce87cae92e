//! Who watches a roll, and how it is shown to them.

use super::lines;
use super::table::Table;
use crate::exit::Failure;
use crate::output;
use crate::text;
use indicatif::ProgressDrawTarget;
use ironcache_api::UpgradeStatus;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A roll that says nothing for this long says what it waits on; sooner is noise.
const QUIET: Duration = Duration::from_secs(2);

pub enum View {
    Table(Box<TableView>),
    Lines(Box<LineView>),
    /// One JSON value for each look that differs from the one before.
    Json(JsonView),
    Silent,
}

pub struct TableView {
    table: Table,
    gauge: Option<Gauge>,
}

/// Something that changes all the time and is worth a line of a table.
pub type Gauge = Box<dyn Fn() -> String + Send>;

pub struct LineView {
    to: Stream,
    before: Option<UpgradeStatus>,
    last_line: Instant,
    started: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

#[derive(Default)]
pub struct JsonView {
    before: Option<String>,
}

impl View {
    /// A table where stdout is a terminal, lines where it is not.
    pub fn for_stdout() -> Self {
        if std::io::stdout().is_terminal() {
            View::Table(Box::new(TableView::new(ProgressDrawTarget::stdout())))
        } else {
            View::Lines(Box::new(LineView::new(Stream::Stdout)))
        }
    }

    /// The same for stderr: what a command shows while stdout is kept for its answer.
    pub fn for_stderr() -> Self {
        if std::io::stderr().is_terminal() {
            View::Table(Box::new(TableView::new(ProgressDrawTarget::stderr())))
        } else {
            View::Lines(Box::new(LineView::new(Stream::Stderr)))
        }
    }

    pub fn json() -> Self {
        View::Json(JsonView::default())
    }

    pub fn silent() -> Self {
        View::Silent
    }

    pub(crate) fn show(&mut self, status: &UpgradeStatus) -> Result<(), Failure> {
        match self {
            View::Table(view) => view.table.show(status, view.gauge.as_ref().map(|gauge| gauge())),
            View::Lines(view) => view.show(status)?,
            View::Json(view) => view.show(status)?,
            View::Silent => {}
        }
        Ok(())
    }

    /// A remark from the one who watches.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            View::Table(view) => view.table.say(text),
            View::Lines(view) => view.line(text)?,
            View::Json(_) | View::Silent => {}
        }
        Ok(())
    }

    /// What a table shows below its nodes, until it is given another.
    pub(crate) fn gauge(&mut self, gauge: Option<Gauge>) {
        match self {
            View::Table(view) => view.gauge = gauge,
            View::Lines(_) | View::Json(_) | View::Silent => {}
        }
    }

    /// Leaves what was shown in place.
    pub(crate) fn finish(&mut self) {
        match self {
            View::Table(view) => view.table.finish(),
            View::Lines(_) | View::Json(_) | View::Silent => {}
        }
    }
}

impl TableView {
    fn new(target: ProgressDrawTarget) -> Self {
        Self { table: Table::new(target), gauge: None }
    }
}

impl LineView {
    fn new(to: Stream) -> Self {
        Self { to, before: None, last_line: Instant::now(), started: Instant::now() }
    }

    fn show(&mut self, status: &UpgradeStatus) -> Result<(), Failure> {
        let mut told = lines::changes(self.before.as_ref(), status);
        if told.is_empty() && self.last_line.elapsed() >= QUIET {
            told.extend(status.waiting_on.iter().map(|what| format!("waiting: {}", text::waiting_on(what))));
        }
        let names = text::Names::of_upgrade(status);
        for text in &told {
            self.line(&names.named(text))?;
        }
        self.before = Some(status.clone());
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.last_line = Instant::now();
        let stamped = format!("[{:7.2} s] {text}", self.started.elapsed().as_secs_f64());
        match self.to {
            Stream::Stdout => output::line(&stamped),
            Stream::Stderr => Ok(writeln!(std::io::stderr().lock(), "{stamped}")?),
        }
    }
}

impl JsonView {
    fn show(&mut self, status: &UpgradeStatus) -> Result<(), Failure> {
        let text = serde_json::to_string(status).map_err(anyhow::Error::from)?;
        if self.before.as_ref() != Some(&text) {
            output::line(&text)?;
            self.before = Some(text);
        }
        Ok(())
    }
}
