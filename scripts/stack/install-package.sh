#!/bin/sh
# Installs a Debian package whose program has its name, without starting the service that would take its port.
# One at a time: apt gives up when another one works, and the policy below must not go while a second one needs it.
set -eu
package="$1"

exec 9>/tmp/kappa-install-package.lock
flock 9
if command -v "$package" >/dev/null; then exit 0; fi

# What Debian asks before it starts a service; 101 is "no".
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' INT TERM HUP
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
apt-get --quiet update
apt-get --quiet --yes -o DPkg::Lock::Timeout=120 --no-install-recommends install "$package"
