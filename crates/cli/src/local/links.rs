//! How the nodes of a local cluster are reached: with keys or without, by TLS or in plain.

use std::path::{Path, PathBuf};

/// By default a cluster with keys, whose clients come in plain.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Links {
    /// A cluster without keys: whoever reaches a node's peer or http port owns it
    #[arg(long)]
    pub insecure: bool,
    /// Clients may come by TLS too, and each node shows this certificate (PEM), which has to name 127.0.0.1 and to be no CA's
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,
}

/// What every node of the cluster shows to clients.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    pub certificate: &'a Path,
    pub key: &'a Path,
}

impl Links {
    /// `None`: no client comes by TLS.
    pub fn shown(&self) -> Option<Shown<'_>> {
        Some(Shown { certificate: self.tls_cert_file.as_deref()?, key: self.tls_key_file.as_deref()? })
    }

    /// Nodes start elsewhere.
    ///
    /// # Errors
    /// The present directory is unknown.
    pub fn absolute(self) -> std::io::Result<Self> {
        let absolute = |file: Option<PathBuf>| file.map(std::path::absolute).transpose();
        Ok(Self {
            insecure: self.insecure,
            tls_cert_file: absolute(self.tls_cert_file)?,
            tls_key_file: absolute(self.tls_key_file)?,
        })
    }
}
