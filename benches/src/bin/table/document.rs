//! The document: an introduction, and one marked place for each section.

use crate::sections::Name;

const INTRODUCTION: &str = "\
# Benchmarks

Measured by a command, on whatever machine it ran on; each section says on which and when. What counts is the
ratio: both sides run on the same machine and take turns, so that its noise hits both. **A ratio above 1 says that
ironcache is the better one**, whether the figure is a time, a rate or a size. The command in a row repeats it; the
whole document is made by

```sh
make table
```

and one section by `cargo run --release -p ironcache-benches --bin table -- --only NAME` (`--quick` to try it without
writing). While optimising, `make bench` gives the figures of single functions.
";

/// `old` with the section in its place: where it was, or else in the order of [`Name::ALL`].
pub(crate) fn with_section(old: &str, name: Name, body: &str) -> String {
    let mut text = INTRODUCTION.to_owned();
    for each in Name::ALL {
        let kept = if each == name { Some(body) } else { section(old, each) };
        if let Some(body) = kept {
            text.push_str(&format!("\n{}\n{}\n{}\n", begin(each), body.trim(), end(each)));
        }
    }
    text
}

/// What stands between a section's marks.
fn section(text: &str, name: Name) -> Option<&str> {
    let (_, rest) = text.split_once(&begin(name))?;
    rest.split_once(&end(name)).map(|(body, _)| body)
}

fn begin(name: Name) -> String {
    format!("<!-- {name}: begin -->")
}

fn end(name: Name) -> String {
    format!("<!-- {name}: end -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_itself_and_leaves_the_others() {
        let one = with_section("", Name::Memory, "the memory");
        let two = with_section(&one, Name::Micro, "first figures");
        let three = with_section(&two, Name::Micro, "second figures");
        assert_eq!(section(&three, Name::Memory).map(str::trim), Some("the memory"));
        assert_eq!(section(&three, Name::Micro).map(str::trim), Some("second figures"));
        assert!(three.find("second figures") < three.find("the memory"), "{three}");
        assert!(!three.contains("first figures"));
    }

    #[test]
    fn writing_the_same_again_changes_nothing() {
        let once = with_section("", Name::Roll, "| a | b |");
        assert_eq!(with_section(&once, Name::Roll, "| a | b |"), once);
    }
}
