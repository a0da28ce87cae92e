mod cluster;
mod gates;
mod journeys;
mod leader_change;
mod memory;
mod transcripts;
mod unplanned;
