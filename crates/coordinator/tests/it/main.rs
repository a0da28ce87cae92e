mod cluster;
mod gates;
mod journeys;
mod leader_change;
mod members;
mod memory;
mod transcripts;
mod unplanned;
