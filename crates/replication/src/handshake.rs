//! How a link opens. These three messages are frozen: every release, past and to come, reads and writes them as they
//! stand here, or two releases could not even tell each other that they do not fit.
//!
//! ```text
//!  replica                                             source
//!  Hello: versions, levels, who I am, where   ───►
//!                                             ◄───     Accept: the version of everything after it
//!                                                      or Refuse: a code and a text; the link closes
//! ```
//!
//! Every message lies in the frame of the link, which is frozen with them: length of kind and body, CRC-32 (IEEE) of
//! kind and body, kind, body. Integers are little-endian. A body is at most 4096 bytes, and **what follows the fields
//! below is ignored**: a later release may append.
//!
//! ```text
//!  frame     at size                           Hello, kind 1     at size
//!  length     0    4   1 + bytes of the body   version min        0    2   1 or more
//!  crc        4    4                           version max        2    2   at least min
//!  kind       8    1                           cluster id         4   16
//!  body       9    …                           shard             20    2
//!                                              node              22    8   of the replica, or the keeper
//!  Accept, kind 2     at size                  incarnation       30    8   of its process
//!  version             0    2                  purpose           38    1   0 follow, 1 next source, 2 keep
//!                                              has a position    39    1   0 no, 1 yes
//!  Refuse, kind 3     at size                  lineage epoch     40    8   0 without a position
//!  length of the code  0    2   c              offset            48    8   0 without a position
//!  code                2    c   UTF-8          level min         56    2   of what its release admits
//!  length of the text 2+c   2   t              level max         58    2   at least min
//!  text               4+c   t   UTF-8                            60
//! ```
//!
//! A purpose above those is one that this release does not know: it is refused by name. New purposes, and new codes,
//! need no new version.

use crate::body::Body;
use crate::frame::FrameError;
use crate::position::Position;
use crate::version::{LinkVersion, LinkVersions};
use crate::wire::{put_u16, put_u64, put_u128};
use ironcache_types::{ClusterId, Epoch, Incarnation, Level, LevelRange, Member, NodeId, ShardId};

/// Longer texts of a [`Refuse`] are cut.
pub const REASON_BYTES_MAX: usize = 1 << 10;

/// Longer codes are cut: they are words.
pub const CODE_BYTES_MAX: usize = 64;

/// The first message of a link, from the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// What the replica speaks; the source chooses one.
    pub versions: LinkVersions,
    pub cluster_id: ClusterId,
    pub shard: ShardId,
    /// The replica.
    pub member: Member,
    pub purpose: Purpose,
    /// `None`: the replica holds no dataset of this shard.
    pub position: Option<Position>,
    /// At which levels the replica's release reads effects.
    pub levels: LevelRange,
}

/// What a replica opens a link for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Stream to me.
    Follow,
    /// I follow another primary, and will follow you once you are promoted: until then I send `Ack`s
    /// (of my present source), and you send nothing.
    NextSource,
    /// I am no replica, and keep the end of your stream in a file: stream to me, from wherever you begin. A position is
    /// the end of what I kept of it already.
    Keep,
}

/// The source's answer to [`Hello`], at once: from here on both speak this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    pub version: LinkVersion,
}

/// No, or no longer, for this reason. The link closes. May come at any time, at any version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse<'a> {
    /// One word that stays the same; for scripts and metrics, never branched on.
    pub code: &'a str,
    /// For people.
    pub text: &'a str,
}

impl Hello {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Hello { versions, cluster_id, shard, member, purpose, position, levels } = self;
        put_u16(out, versions.min.0);
        put_u16(out, versions.max.0);
        put_u128(out, cluster_id.0);
        put_u16(out, shard.0);
        put_u64(out, member.node.0);
        put_u64(out, member.incarnation.0);
        out.push(match purpose {
            Purpose::Follow => 0,
            Purpose::NextSource => 1,
            Purpose::Keep => 2,
        });
        out.push(u8::from(position.is_some()));
        let Position { lineage_epoch, offset } = position.unwrap_or_default();
        put_u64(out, lineage_epoch.0);
        put_u64(out, offset.0);
        put_u16(out, levels.min.0);
        put_u16(out, levels.max.0);
    }

    pub(crate) fn read(body: &mut Body<'_>) -> Result<Self, FrameError> {
        let versions = LinkVersions::new(body.u16()?, body.u16()?);
        if versions.min > versions.max || versions.min == LinkVersion::HANDSHAKE {
            return Err(body.malformed("the link versions are no range"));
        }
        let cluster_id = ClusterId(body.u128()?);
        let shard = ShardId(body.u16()?);
        let member = Member { node: NodeId(body.u64()?), incarnation: Incarnation(body.u64()?) };
        let purpose = match body.u8()? {
            0 => Purpose::Follow,
            1 => Purpose::NextSource,
            2 => Purpose::Keep,
            purpose => return Err(FrameError::UnknownPurpose { purpose }),
        };
        let (present, epoch, offset) = (body.u8()?, Epoch(body.u64()?), body.offset()?);
        let position = match present {
            0 => None,
            1 => Some(Position { lineage_epoch: epoch, offset }),
            _ => return Err(body.malformed("the position is neither absent nor present")),
        };
        let levels = LevelRange { min: Level(body.u16()?), max: Level(body.u16()?) };
        if levels.min > levels.max {
            return Err(body.malformed("the levels are no range"));
        }
        Ok(Hello { versions, cluster_id, shard, member, purpose, position, levels })
    }
}

impl Accept {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let Accept { version } = self;
        put_u16(out, version.0);
    }

    pub(crate) fn read(body: &mut Body<'_>) -> Result<Self, FrameError> {
        Ok(Accept { version: LinkVersion(body.u16()?) })
    }
}

impl<'a> Refuse<'a> {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let Refuse { code, text } = self;
        put_text(out, &code[..code.floor_char_boundary(CODE_BYTES_MAX)]);
        put_text(out, &text[..text.floor_char_boundary(REASON_BYTES_MAX)]);
    }

    pub(crate) fn read(body: &mut Body<'a>) -> Result<Self, FrameError> {
        Ok(Refuse { code: body.text()?, text: body.text()? })
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_u16(out, u16::try_from(text.len()).expect("it was cut to less"));
    out.extend_from_slice(text.as_bytes());
}
