//! The body of a frame, field by field.

use crate::frame::FrameError;
use crate::lineage::Lineage;
use crate::message::Source;
use crate::resync::SyncMode;
use crate::version::LinkVersion;
use crate::wire::{Reader, put_u64};
use ironcache_types::{Epoch, Incarnation, Offset};

/// A body being read: a reader that knows which kind, at which version, to blame. A field that a later version added is
/// read if `version` has it, and is its default otherwise.
pub(crate) struct Body<'a> {
    pub(crate) kind: u8,
    pub(crate) version: LinkVersion,
    pub(crate) reader: Reader<'a>,
}

impl<'a> Body<'a> {
    pub(crate) fn new(kind: u8, version: LinkVersion, bytes: &'a [u8]) -> Self {
        Body { kind, version, reader: Reader::new(bytes) }
    }

    pub(crate) fn malformed(&self, what: &'static str) -> FrameError {
        FrameError::Malformed { kind: self.kind, version: self.version, what }
    }

    fn short<T>(&self, field: Option<T>) -> Result<T, FrameError> {
        field.ok_or_else(|| self.malformed("it ends inside a field"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FrameError> {
        let field = self.reader.u8();
        self.short(field)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FrameError> {
        let field = self.reader.u16();
        self.short(field)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FrameError> {
        let field = self.reader.u64();
        self.short(field)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, FrameError> {
        let field = self.reader.u128();
        self.short(field)
    }

    /// A string: its length as u16, then its bytes.
    pub(crate) fn text(&mut self) -> Result<&'a str, FrameError> {
        let len = usize::from(self.u16()?);
        let field = self.reader.take(len);
        std::str::from_utf8(self.short(field)?).map_err(|_| self.malformed("a text is not UTF-8"))
    }

    pub(crate) fn offset(&mut self) -> Result<Offset, FrameError> {
        self.u64().map(Offset)
    }

    pub(crate) fn source(&mut self) -> Result<Source, FrameError> {
        Ok(Source { epoch: Epoch(self.u64()?), incarnation: Incarnation(self.u64()?) })
    }

    pub(crate) fn lineage(&mut self) -> Result<Lineage, FrameError> {
        let lineage = Lineage::read(&mut self.reader);
        self.short(lineage)?.map_err(|source| FrameError::Lineage { kind: self.kind, source })
    }

    pub(crate) fn mode(&mut self) -> Result<SyncMode, FrameError> {
        match self.u8()? {
            0 => Ok(SyncMode::Full),
            1 => Ok(SyncMode::Partial { from: self.offset()? }),
            _ => Err(self.malformed("the sync mode is unknown")),
        }
    }
}

pub(crate) fn write_source(source: Source, out: &mut Vec<u8>) {
    let Source { epoch, incarnation } = source;
    put_u64(out, epoch.0);
    put_u64(out, incarnation.0);
}

pub(crate) fn write_mode(mode: SyncMode, out: &mut Vec<u8>) {
    match mode {
        SyncMode::Full => out.push(0),
        SyncMode::Partial { from } => {
            out.push(1);
            put_u64(out, from.0);
        }
    }
}
