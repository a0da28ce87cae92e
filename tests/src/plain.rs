//! A client without a map of the cluster: one connection, to whoever the last `MOVED` named.
//!
//! The cluster client of the `redis` crate (1.8.1) can deadlock in itself while a node stays away: a reconnection
//! that has been granted the client's lock is not polled while a refresh of the slots waits for that lock. So what
//! is tested with a node away for longer is tested with this one.

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, RedisError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const AGAIN: Duration = Duration::from_millis(5);

/// Where nodes may be: shared with the test, which knows when one moves.
pub(crate) type Addrs = Arc<Mutex<Vec<String>>>;

pub(crate) struct Plain {
    addrs: Addrs,
    /// Who is asked first: the last `MOVED` named it.
    next: String,
    connection: Option<MultiplexedConnection>,
    give_up: Duration,
}

impl Plain {
    pub(crate) fn new(addrs: Addrs, give_up: Duration) -> Self {
        let next = addrs.lock().expect("nothing panics while it holds it")[0].clone();
        Self { addrs, next, connection: None, give_up }
    }

    /// Asks until somebody answers, or `give_up` is over. A command is sent again when its outcome is unknown, so
    /// it has to be one that may be executed twice.
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        let give_up = Instant::now() + self.give_up;
        loop {
            let error = match self.try_once(command).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some((addr, _slot)) = error.redirect_node() {
                self.turn_to(addr.to_owned());
                continue;
            }
            if Instant::now() > give_up {
                return Err(error);
            }
            let other = {
                let addrs = self.addrs.lock().expect("nothing panics while it holds it");
                let at = addrs.iter().position(|addr| *addr == self.next).map_or(0, |at| at + 1);
                addrs[at % addrs.len()].clone()
            };
            self.turn_to(other);
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_once<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, RedisError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let client = Client::open(format!("redis://{}/", self.next))?;
                let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(self.give_up));
                none.insert(client.get_multiplexed_async_connection_with_config(&config).await?)
            }
        };
        command.query_async(connection).await
    }

    fn turn_to(&mut self, addr: String) {
        self.next = addr;
        self.connection = None;
    }
}
