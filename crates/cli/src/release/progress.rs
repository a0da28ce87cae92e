//! A download, as somebody at a terminal sees it.

use super::download::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// On stderr, which is not what scripts read. The bar shows on a terminal only; what goes wrong is said anywhere.
pub(crate) struct Terminal {
    bar: ProgressBar,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{bytes} of {total_bytes} {bar:40} {bytes_per_sec}");
        bar.set_style(style.expect("the template is well-formed"));
        Terminal { bar }
    }
}

impl Progress for Terminal {
    fn at(&self, received_bytes: u64, total_bytes: Option<u64>) {
        if let Some(total) = total_bytes {
            self.bar.set_length(total);
        }
        self.bar.set_position(received_bytes);
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("ironcache: {line}"));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
