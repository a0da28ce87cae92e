mod never;
mod node_life;
mod setup;
