//! The built parts that a lab runs from, found in the cache or built side by side.

use std::cell::Cell;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use crate::error::Result;
use crate::go::Builds;
use crate::image::Ingredients;
use crate::{Lab, Profile, joined, rootfs};

/// The built parts that a lab runs from.
pub struct Parts {
    pub kubernetes: PathBuf,
    pub calico: PathBuf,
    /// None without machines.
    pub image: Option<PathBuf>,
    /// None without fake nodes.
    pub kwok: Option<PathBuf>,
}

impl Lab {
    /// Finds or builds all parts; compiling and the download of Debian go side by side.
    pub(crate) fn parts(&self, profile: Profile) -> Result<Parts> {
        let (source, cache, log) = (&self.source, &self.cache, &self.log);
        let builds = Builds { source, cache, log };
        let say = |what: &str| self.progress.say(what);
        thread::scope(|scope| {
            let kubernetes = scope.spawn(|| {
                self.timed("Kubernetes and etcd built", |said| {
                    builds.kubernetes(|version| {
                        said.set(true);
                        say(&format!("building Kubernetes {version} and its etcd from source: about six minutes …"));
                    })
                })
            });
            let calico = scope.spawn(|| {
                self.timed("Calico built", |said| {
                    builds.calico(|version| {
                        said.set(true);
                        say(&format!("building Calico {version} from source …"));
                    })
                })
            });
            let debian = scope.spawn(|| {
                if profile != Profile::Full {
                    return Ok(PathBuf::new());
                }
                self.timed("Debian installed", |said| {
                    rootfs::build(source, cache, log, |suite| {
                        said.set(true);
                        say(&format!("installing Debian {suite} for the nodes …"));
                    })
                })
            });
            let (kubernetes, calico, debian) = (joined(kubernetes), joined(calico), joined(debian));
            let (kubernetes, calico, debian) = (kubernetes?, calico?, debian?);
            let kwok = match profile {
                Profile::Full | Profile::ControlPlane => None,
                // After the others: it is the smallest, and two compilers fill two processors.
                Profile::Fake => Some(self.timed("kwok built", |said| {
                    builds.kwok(|version| {
                        said.set(true);
                        say(&format!(
                            "building kwok {version} from source: over a minute …"
                        ));
                    })
                })?),
            };
            let image = match profile {
                Profile::ControlPlane | Profile::Fake => None,
                Profile::Full => {
                    let (debian, kubernetes, calico) = (&debian, &kubernetes, &calico);
                    let ingredients = Ingredients {
                        source,
                        cache,
                        log,
                        debian,
                        kubernetes,
                        calico,
                        progress: &self.progress,
                    };
                    Some(self.timed("image made", |said| {
                        ingredients.build(|| {
                            said.set(true);
                            say("making the nodes' image …");
                        })
                    })?)
                }
            };
            Ok(Parts {
                kubernetes,
                calico,
                image,
                kwok,
            })
        })
    }

    /// Says how long a part took, if it had to be built.
    fn timed<T>(&self, name: &str, work: impl FnOnce(&Cell<bool>) -> Result<T>) -> Result<T> {
        let (built, start) = (Cell::new(false), Instant::now());
        let done = work(&built)?;
        if built.get() {
            self.progress
                .say(&format!("{name} ({:.1} s)", start.elapsed().as_secs_f64()));
        }
        Ok(done)
    }
}
