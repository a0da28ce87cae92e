mod never;
mod node_life;
mod setup;
mod slots;
