//! Measures Gatepost on this machine: `make bench`.
//!
//! [`plan`] says what is measured in which order; [`server`] starts the program that is measured;
//! [`data`] fills the database; [`peers`] measures others beside it; [`echo`], [`hash`], [`logins`], [`probe`], [`timing`] and [`wrk`] make the load; [`stats`] and [`report`] say what
//! came out. The same load can be made alone, against any instance, by the other commands.

mod data;
mod decisions;
mod echo;
mod hash;
mod http;
mod logins;
mod machine;
mod peers;
mod people;
mod plan;
mod probe;
mod report;
mod server;
mod stats;
mod timing;
mod wrk;

use std::{io, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

/// Measures Gatepost.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the people and tenants that the other commands ask about, for `psql` as a superuser.
    /// Wants a database that an instance has been started on, because that makes the built-in roles.
    Data {
        /// How many people.
        #[arg(long, default_value_t = people::COUNT)]
        people: u32,
        /// How many projects besides the one of each organization.
        #[arg(long, default_value_t = 0)]
        more_projects: u32,
    },
    /// Serve what evaluations are compared with, on this port of loopback.
    #[command(hide = true)]
    Echo {
        #[arg(long)]
        port: u16,
    },
    /// Whether answers of an instance tell that an account exists. It has to believe
    /// `X-Forwarded-For` (`TRUSTED_PROXIES`) and to limit nobody.
    Timing {
        /// The address of an instance: host and port.
        #[arg(long, default_value = "127.0.0.1:8004")]
        address: String,
        /// Requests about known accounts, and as many about unknown ones.
        #[arg(long, default_value_t = 300)]
        samples: u32,
    },
    /// Start the program once and stop it when it is ready.
    Once {
        /// The program.
        gatepost: PathBuf,
    },
    /// Measure everything, starting the program anew where that matters.
    All(plan::Plan),
    /// Measure Gatepost beside others that decide: `bench/peers/run`.
    Peers(peers::Plan),
    /// Argon2id and nothing else: what no login can be faster than.
    Hash {
        /// Threads.
        #[arg(long, default_value_t = machine::cores())]
        threads: usize,
        #[command(flatten)]
        time: Seconds,
    },
    /// Clients that log in one time after the other.
    Logins {
        #[command(flatten)]
        crowd: Crowd,
    },
    /// The same, while somebody else asks for their own profile at a fixed rate.
    Storm {
        #[command(flatten)]
        crowd: Crowd,
        /// Requests a second of the somebody else.
        #[arg(long, default_value_t = 200)]
        rate: u32,
    },
}

/// Who logs in.
#[derive(Args)]
struct Crowd {
    /// The address of an instance: host and port.
    #[arg(long, default_value = "127.0.0.1:8004")]
    address: String,
    /// How many at the same time.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Wait before the next try as long as `Retry-After` says, where it is said.
    #[arg(long)]
    heed: bool,
    #[command(flatten)]
    time: Seconds,
}

#[derive(Args)]
struct Seconds {
    /// How long.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

impl Seconds {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl Crowd {
    fn logins(self) -> (logins::Crowd, Duration) {
        let crowd = logins::Crowd {
            address: self.address,
            clients: self.clients,
            heed: self.heed,
        };
        (crowd, self.time.duration())
    }
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Data {
            people,
            more_projects,
        } => {
            let size = data::Size {
                people,
                more_projects,
            };
            data::write(&mut io::stdout().lock(), data::Size::default(), size)?;
        }
        Command::Echo { port } => echo::serve(port)?,
        Command::Timing { address, samples } => {
            for case in timing::Case::ALL {
                let seen = timing::measure(&address, case, 0, samples)?;
                println!(
                    "{}: {:.1} %, {:.0} us",
                    case.name(),
                    seen.known_longer,
                    seen.difference
                );
            }
        }
        Command::Once { gatepost } => {
            let server = server::Server::start_aloud(&gatepost)?;
            println!("ready after {:?}", server.ready_after);
            server.stop()?;
        }
        Command::All(plan) => plan::run(&plan)?,
        Command::Peers(plan) => peers::run(&plan)?,
        Command::Hash { threads, time } => {
            println!("{:.1} hashes/s", hash::rate(threads, time.duration())?);
        }
        Command::Logins { crowd } => {
            let (crowd, time) = crowd.logins();
            println!("{}", logins::run(&crowd, time)?);
        }
        Command::Storm { crowd, rate } => {
            let (crowd, time) = crowd.logins();
            let token = people::log_in(&crowd.address, 0)?.token;
            let profile = http::request("GET", "/api/users/me", Some(&token), "");
            let probe = probe::Probe::start(crowd.address.clone(), vec![profile], rate, time)?;
            println!("{}", logins::run(&crowd, time)?);
            println!("probe: {}", probe.end()?);
        }
    }
    Ok(())
}
