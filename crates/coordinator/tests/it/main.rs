mod cluster;
mod gates;
mod leader_change;
mod memory;
mod transcripts;
mod unplanned;
