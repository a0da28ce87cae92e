//! A node that is in no cluster yet: where it is, and the join code that it prints.
//!
//! *Invariant:* a code is read when its node has answered: a node that starts writes it before it listens.

use crate::exit::Failure;
use ironcache_client::{ClientError, join, seed};
use ironcache_identity::{JoinCode, Tls};
use std::path::PathBuf;
use std::str::FromStr;

/// `HOST:PORT`, `HOST:PORT=@FILE` or `HOST:PORT=CODE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Client or HTTP address.
    pub addr: String,
    pub code: Option<CodeFrom>,
}

/// Where a join code is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeFrom {
    Argument(JoinCode),
    File(PathBuf),
}

impl FromStr for Newcomer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (addr, code) = match text.split_once('=') {
            None => (text, None),
            Some((addr, code)) => (addr, Some(code)),
        };
        let code = match code.map(|code| (code, code.strip_prefix('@'))) {
            None => None,
            Some((_, Some(file))) => Some(CodeFrom::File(PathBuf::from(file))),
            Some((code, None)) => Some(CodeFrom::Argument(code.parse().map_err(|error| format!("{error}"))?)),
        };
        Ok(Newcomer { addr: addr.to_owned(), code })
    }
}

impl Newcomer {
    /// A node of an insecure cluster.
    pub fn at(addr: String) -> Self {
        Newcomer { addr, code: None }
    }

    /// Meets the node: both sides prove the code, which is handed back, too.
    pub(crate) async fn meet(&self, tls: &Tls) -> Result<(join::Contact, JoinCode), Failure> {
        let http_addr = seed::resolve(&self.addr).await.map_err(ClientError::from)?;
        let code = self.code()?;
        Ok((join::contact(&http_addr, tls, &code).await?, code))
    }

    pub(crate) fn code(&self) -> Result<JoinCode, Failure> {
        let Newcomer { addr, code } = self;
        match code {
            Some(CodeFrom::Argument(code)) => Ok(code.clone()),
            Some(CodeFrom::File(file)) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
                text.trim().parse().map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
            }
            None => Err(Failure::Usage(format!(
                "{addr} is met by the join code that it prints when it starts: {addr}=@FILE, with a file that has it (join.code in \
                 its data directory)"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_comes_with_its_code_with_the_file_of_it_or_without() {
        let code = JoinCode::draw().unwrap();
        let read = |text: &str| text.parse::<Newcomer>();
        let argument = read(&format!("[::1]:7101={code}")).unwrap();
        assert_eq!(argument.addr, "[::1]:7101");
        assert_eq!(argument.code().unwrap(), code);
        assert_eq!(read("a:1=@n1/join.code").unwrap().code, Some(CodeFrom::File("n1/join.code".into())));
        let without = read("a:1").unwrap();
        assert!(without.code().unwrap_err().to_string().contains("a:1=@FILE"));
        let wrong = read("a:1=secret").unwrap_err();
        assert!(wrong.starts_with("this is no join code") && !wrong.contains("secret"), "{wrong}");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("join.code");
        std::fs::write(&file, format!("{code}\n")).unwrap();
        assert_eq!(read(&format!("a:1=@{}", file.display())).unwrap().code().unwrap(), code);
        std::fs::write(&file, "secret").unwrap();
        let wrong = read(&format!("a:1=@{}", file.display())).unwrap().code().unwrap_err();
        assert!(!wrong.to_string().contains("secret"), "{wrong}");
    }

    #[test]
    fn fuzz_newcomers_are_an_address_and_what_follows_it() {
        let code = "@n1/join.code".to_owned();
        let given =
            ["[::1]:7101".to_owned(), format!("a:1={code}"), format!("a:1={}", JoinCode::draw().unwrap())];
        ironcache_fuzz::Campaign::of("newcomers").from(given).words(["=", "@", "-", ":"]).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let read = text.parse::<Newcomer>();
            let (addr, follows) = text.split_once('=').unwrap_or((&text, ""));
            match &read {
                Ok(newcomer) => assert_eq!(newcomer.addr, addr),
                // A code that was mistyped is a secret all the same.
                Err(told) => assert!(follows.len() < 12 || !told.contains(follows), "{told}"),
            }
            read.map(|newcomer| newcomer.code.is_some())
        });
    }
}
