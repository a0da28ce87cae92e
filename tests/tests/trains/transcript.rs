//! What a train did, as prose, and as it stands in docs/train.md.
//!
//! *Invariant:* nothing in it differs from run to run: no time, port, id or digest.

use ironcache_types::NodeId;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Output;

#[derive(Debug)]
pub(crate) struct Transcript {
    text: String,
    /// In the order of the cluster's nodes.
    nodes: Vec<NodeId>,
}

impl Transcript {
    pub(crate) fn new(nodes: Vec<NodeId>) -> Self {
        Transcript { text: String::new(), nodes }
    }

    pub(crate) fn say(&mut self, what: &str) {
        eprintln!("train: {what}");
        writeln!(self.text, "{}", self.plain(what)).expect("a String takes everything");
    }

    /// A command of the product, and what it came to: the same wherever it was asked.
    pub(crate) fn asked(&mut self, command: &str, of: &str, outputs: &[Output]) {
        self.say(&format!("$ ironcache {command}    (asked of {of})"));
        let told: Vec<String> = outputs.iter().map(told).collect();
        assert!(told.iter().all(|line| *line == told[0]), "{command}: {told:#?}");
        self.say(&told[0]);
    }

    fn plain(&self, text: &str) -> String {
        let named =
            |text: String, (at, id): (usize, &NodeId)| text.replace(&id.to_string(), &format!("n{}", at + 1));
        self.nodes.iter().enumerate().fold(text.to_owned(), named)
    }

    /// Compares with the document, or writes it anew where `UPDATE_EXPECT` says so.
    pub(crate) fn check(&self) {
        const BEGIN: &str = "```text\n";
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/train.md");
        let document = std::fs::read_to_string(&path).expect("the document is there");
        let (before, rest) = document.split_once(BEGIN).expect("the document has a transcript");
        let (kept, after) = rest.split_once("```").expect("the transcript ends");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let anew = format!("{before}{BEGIN}{}```{after}", self.text);
            std::fs::write(&path, anew).expect("the document can be written");
        } else {
            assert_eq!(
                kept, self.text,
                "docs/train.md tells of another train; UPDATE_EXPECT=1 writes it anew"
            );
        }
    }
}

fn told(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => stdout.trim().to_owned(),
        Some(code) => format!(
            "exit {code}: {}",
            stderr.trim().trim_start_matches("ironcache: ").trim_start_matches("error: ")
        ),
        None => panic!("it was ended by a signal: {output:?}"),
    }
}
