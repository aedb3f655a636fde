/*
 * The release for a server that has neither Node nor npm: the compiled hub, the dependencies that it runs with, and the
 * Node runtime that runs this script. Needs `npm ci` to have been run, and no network.
 *   npm run release [-- FOLDER]     writes waystation-<version>-<platform>-<arch>.tar.gz there (here when not stated)
 */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, cpSync, createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

interface Manifest {
  readonly name: string
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

function manifestIn(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}

/**
 * The packages that run with the hub, by their folders below the root: what is needed from the root on, wherever npm has
 * put it. The marks in the lockfile would not do: not all that is for development alone is marked.
 */
function runtimePackages(): string[] {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, Manifest> }
  const found = new Set<string>()
  const visit = (folder: string): void => {
    const { dependencies = {}, optionalDependencies = {} } = folder === '' ? manifestIn(root) : (lock.packages[folder] as Manifest)
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const at = resolved(lock.packages, folder, name)
      if (at === undefined || !existsSync(join(root, at))) {
        if (name in optionalDependencies) continue
        throw new Error(`${name} is not installed; run: npm ci`)
      }
      if (found.has(at)) continue
      found.add(at)
      visit(at)
    }
  }
  visit('')
  return [...found].sort()
}

/** Where Node finds a package from another one: the nearest node_modules that has it. */
function resolved(packages: Readonly<Record<string, unknown>>, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    const at = join(folder, 'node_modules', name)
    if (at in packages) return at
    if (folder === '') return undefined
  }
}

/** What is for people who write programs, and not for those who run them. A licence stays, whatever its name ends with. */
const NOT_RUN = /^(?!.*\/licen[cs]e[^/]*$).*\.(map|md|[cm]?ts)$|^\/(test|tests|bench|benchmarks|docs|examples)$/i
const LICENCE = /^(licen[cs]e|copying)/i

/** Finds its own folder through symbolic links, and runs the runtime that lies there. */
const LAUNCHER = `#!/bin/sh
self=$0
while [ -h "$self" ]; do
  target=$(readlink -- "$self")
  case $target in
    /*) self=$target ;;
    *) self=\${self%/*}/$target ;;
  esac
done
case $self in
  */*) ;;
  *) self=./$self ;;
esac
home=$(CDPATH='' cd -- "\${self%/*}/.." && pwd -P) || exit 1
exec "$home/lib/node" "$home/dist/cli/main.js" "$@"
`

const RUNTIME = `The file "node" is the Node.js runtime ${process.version} as it is published, under its own licence:
https://github.com/nodejs/node/blob/${process.version}/LICENSE
Whoever hands this folder on to others hands that text on with it. Put it here when there is no file LICENSE.
`

function build(folder: string): void {
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json'), '--outDir', join(folder, 'dist'), '--declaration', 'false'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the sources cannot be compiled:\n${stdout}`)
}

function fill(folder: string): void {
  build(folder)
  for (const path of runtimePackages()) {
    const from = join(root, path)
    cpSync(from, join(folder, path), { recursive: true, dereference: true, filter: (file) => !NOT_RUN.test(file.slice(from.length)) && !file.slice(from.length).includes('node_modules') })
    // Some state their licence in their readme and nowhere else.
    const names = readdirSync(from)
    if (!names.some((name) => LICENCE.test(name))) for (const name of names.filter((one) => /^readme/i.test(one))) cpSync(join(from, name), join(folder, path, name))
  }
  for (const name of ['LICENSE', 'README.md', 'examples/systemd']) cpSync(join(root, name), join(folder, name), { recursive: true })
  const { name, version, license, type, bin } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, unknown>
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ name, version, private: true, license, type, bin }, null, 2)}\n`)
  mkdirSync(join(folder, 'lib'))
  cpSync(realpathSync(process.execPath), join(folder, 'lib/node'))
  chmodSync(join(folder, 'lib/node'), 0o755)
  writeFileSync(join(folder, 'lib/README'), RUNTIME)
  // A runtime that was unpacked from nodejs.org has it beside its folder; the one of npm's package comes without.
  const licence = join(dirname(dirname(realpathSync(process.execPath))), 'LICENSE')
  if (existsSync(licence) && readFileSync(licence, 'utf8').startsWith('Node.js is licensed')) cpSync(licence, join(folder, 'lib/LICENSE'))
  mkdirSync(join(folder, 'bin'))
  writeFileSync(join(folder, 'bin/waystation'), LAUNCHER, { mode: 0o755 })
  chmodSync(join(folder, 'bin/waystation'), 0o755)
}

/** Packed quickly: three fifths of it is the runtime, and a better level saves a fifth for ten times the time. */
async function pack(parent: string, name: string, to: string): Promise<void> {
  const owner = process.platform === 'linux' ? ['--owner=0', '--group=0', '--numeric-owner'] : []
  const tar = spawn('tar', ['-cf', '-', ...owner, '-C', parent, name], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<number | null>((done, failed) => {
    tar.once('error', failed)
    tar.once('close', done)
  })
  await Promise.all([pipeline(tar.stdout, createGzip({ level: 1, chunkSize: 1_048_576 }), createWriteStream(to)), ended])
  if ((await ended) !== 0) throw new Error('tar failed')
}

async function release(target: string): Promise<string> {
  const name = `waystation-${manifestIn(root).version}-${process.platform}-${process.arch}`
  const parent = mkdtempSync(join(tmpdir(), 'waystation-release-'))
  const file = join(target, `${name}.tar.gz`)
  try {
    mkdirSync(join(parent, name))
    fill(join(parent, name))
    mkdirSync(target, { recursive: true })
    await pack(parent, name, `${file}.unfinished`)
    renameSync(`${file}.unfinished`, file)
  } finally {
    rmSync(parent, { recursive: true, force: true })
    rmSync(`${file}.unfinished`, { force: true })
  }
  return file
}

const file = await release(resolve(process.argv[2] ?? '.'))
console.log(`${file}, ${(statSync(file).size / 2 ** 20).toFixed(1)} MiB`)
