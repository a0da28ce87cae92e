mod cluster;
mod gates;
mod journeys;
mod leader_change;
mod memory;
mod total_loss;
mod transcripts;
mod unplanned;
