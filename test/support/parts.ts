import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/*
 * Real programs that some tests need and a newcomer may not have. A test says `test('…', needs(NGINX), …)`: it is skipped
 * with the reason where the part is missing. `.ci/run` installs them all, and fails if anything was skipped.
 */
export interface Part {
  readonly name: string
  readonly path: string | undefined
  readonly install: string
}

function find(name: string, candidates: readonly string[]): string | undefined {
  const known = candidates.find((path) => existsSync(path))
  if (known !== undefined) return known
  const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' })
  return found.status === 0 ? found.stdout.trim() : undefined
}

export const CHROMIUM: Part = {
  name: 'Chromium',
  path: process.env['CHROMIUM'] || find('chromium', ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']),
  install: 'apt-get install chromium, or set CHROMIUM to a browser',
}

/** Runs a command on a terminal of its own; the one of util-linux. */
export const SCRIPT: Part = { name: 'script', path: process.platform === 'linux' ? find('script', ['/usr/bin/script']) : undefined, install: 'apt-get install bsdutils' }

/** Looks at certificates that were made here, with other eyes. */
export const OPENSSL: Part = { name: 'openssl', path: find('openssl', ['/usr/bin/openssl']), install: 'apt-get install openssl' }

export const NGINX: Part = { name: 'nginx', path: find('nginx', ['/usr/sbin/nginx']), install: 'apt-get install nginx' }

const VENV = fileURLToPath(new URL('../../.venv/bin/python', import.meta.url))

const NEEDED = 'import importlib.util as it; exit(any(it.find_spec(name) is None for name in ("lonelypsc", "websockets", "zstandard")))'

/** A Python that has the subscriber library of lonelyps, with what it needs for WebSockets. */
export const PYTHON: Part = {
  name: 'a Python with lonelypsc',
  path: [process.env['LONELYPSC_PYTHON'], VENV].find((path) => path !== undefined && spawnSync(path, ['-c', NEEDED]).status === 0),
  install: 'python3 -m venv .venv && .venv/bin/pip install -r test/interop/requirements.txt, or set LONELYPSC_PYTHON to one',
}

export const ERLANG: Part = { name: 'Erlang', path: find('erl', ['/usr/bin/erl']), install: 'apt-get install erlang-base' }

/** The options of a test that needs a part. */
export function needs(part: Part): { skip: string | false } {
  return { skip: part.path === undefined ? `${part.name} is missing: ${part.install}` : false }
}
