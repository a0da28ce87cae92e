//! The node as one client's session sees it.
//!
//! *Invariant:* on the path of every keyed command: nothing is allocated unless it is redirected.

use super::Door;
use super::plane::Plane;
use super::server_commands::{REDIS_VERSION, shown_as};
use crate::clock::wall_ms;
use ironcache_session::{Accounts, Busy, Introduction, Looked, Owner, Paused, Site, Watches};
use ironcache_shard::Route;
use ironcache_types::{Epoch, Level, Offset, ReadFrom, Slot};

/// For clients that came by this door.
pub(super) struct Here<'a> {
    pub plane: &'a Plane,
    pub door: Door,
}

impl Here<'_> {
    #[inline]
    fn owner_of(&self, route: &Route) -> Owner {
        match route {
            Route::Execute => Owner::Here,
            Route::Park => Owner::Undecided,
            Route::Moved(node) => Owner::At(self.plane.client_addr(*node, self.door)),
            Route::Unowned => Owner::Nobody,
        }
    }
}

impl Site for Here<'_> {
    fn level(&self) -> Level {
        self.plane.level()
    }

    #[inline]
    fn owner(&self, slot: Slot, read: ReadFrom) -> Owner {
        self.owner_of(&self.plane.route(slot, read))
    }

    fn owner_without_keys(&self) -> Owner {
        self.owner_of(&self.plane.route_without_keys())
    }

    #[inline]
    fn has_enough_in_sync(&self) -> bool {
        self.plane.has_enough_in_sync()
    }

    #[inline]
    fn is_out_of_memory(&self) -> bool {
        self.plane.is_out_of_memory()
    }

    #[inline]
    fn is_backed_up(&self) -> bool {
        self.plane.is_backed_up()
    }

    #[inline]
    fn paused(&self) -> Option<Paused> {
        self.plane.pause.what()
    }

    #[inline]
    fn busy(&self) -> Option<Busy> {
        self.plane.scripts.busy()
    }

    fn is_loading_libraries(&self) -> bool {
        self.plane.scripts.libraries.is_loading()
    }

    fn has_function(&self, name: &[u8]) -> bool {
        self.plane.scripts.libraries.has(name)
    }

    fn epoch(&self) -> Option<Epoch> {
        self.plane.primary_epoch()
    }

    fn look(&self, key: &[u8]) -> Looked {
        match self.plane.keyspace.get(key) {
            None => Looked::Absent,
            Some(entry) if entry.is_expired(wall_ms()) => Looked::Expired,
            Some(_) => Looked::Present,
        }
    }

    fn watches(&self) -> &Watches {
        &self.plane.watches
    }

    fn has_client(&self, id: u64) -> bool {
        self.plane.clients.has(id)
    }

    fn holders(&self, offset: Offset) -> usize {
        self.plane.replicas_that_hold(offset)
    }

    #[inline]
    fn accounts(&self) -> &Accounts {
        &self.plane.accounts
    }

    fn introduction(&self) -> Introduction {
        Introduction { redis_version: REDIS_VERSION, shown_as: shown_as(self.plane) }
    }
}
