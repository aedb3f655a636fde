import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** Source files by their path below the repository, with `/`. */
export type Files = ReadonlyMap<string, string>

const REST = ['protocol', 'core', 'http', 'zones', 'transports', 'links', 'services', 'webhooks', 'registry']
/** What each layer may import (design, section 3). Transports never import one another. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  http: ['protocol'],
  core: ['protocol'],
  transports: ['protocol', 'core', 'http'],
  zones: ['protocol', 'core', 'http'],
  links: ['protocol', 'core', 'http', 'zones'],
  services: ['protocol', 'core', 'http', 'zones'],
  webhooks: ['protocol', 'core', 'http'],
  registry: ['protocol', 'core', 'http'],
  subscriber: ['protocol', 'core', 'http'],
  server: REST,
  cli: ['server', 'core'],
  testing: ['core', 'server'],
}

/** Files whose time and chance are handed in, beside all of core/ and protocol/. */
const PURE = [/^src\/core\//, /^src\/protocol\//, /^src\/http\/(request-guard|path|admission|origin|address|stall|goodbye)\.ts$/, /^src\/transports\/sse\/encode\.ts$/, /^src\/subscriber\/(unproved|rounds|replays|interests|feed)\.ts$/,
  /^src\/zones\/(backoff|dial-error|slots)\.ts$/, /^src\/links\/(asked|client|connection|from-ponyexpress|from-waystation|intake|lead|line|status)\.ts$/,
  // Whole state machines, but for those that open connections and files.
  /^src\/services\/(?!daemon\.ts$)/, /^src\/subscriber\/socket\/(?!(?:outbound|wire)\.ts$)/, /^src\/transports\/lonelyps\/socket\/(?!(?:sockets|shared-compression)\.ts$)/]
const FORBIDDEN_GLOBALS = /\b(Date\.now|new Date\(\)|setTimeout|setInterval|setImmediate|queueMicrotask|Math\.random|performance\.|process\.|fetch\(|console\.)/
const PURE_NODE = ['node:buffer']
/** What of `node:crypto` gives the same for the same. */
const PURE_CRYPTO = /^import \{ (?:(?:createHash|createHmac|hash|timingSafeEqual|type \w+)(?:, )?)+ \} from 'node:crypto'/
/** What of `node:zlib` gives the same for the same, and the two files that may have some of it. */
const PURE_ZSTD = /^import \{ (?:(?:constants|createZstd(?:Compress|Decompress)|zstd(?:Compress|Decompress)(?:Sync)?|type \w+)(?:, )?)+ \} from 'node:zlib'/
const ZSTD_FILE = 'src/protocol/lonelyps/zstd.ts'
const PURE_INFLATE = /^import \{ (?:(?:constants|inflateSync|type \w+)(?:, )?)+ \} from 'node:zlib'/
const INFLATE_FILE = 'src/protocol/etf/inflate.ts'
const PURE_DEFLATE = /^import \{ (?:(?:constants|deflateSync|type \w+)(?:, )?)+ \} from 'node:zlib'/
const DEFLATE_FILE = 'src/services/compress.ts'
const PURE_TYPE_ONLY = /^import type /
const MOST_LINES = 400

/** Where many worlds run in one process: what a module keeps for itself all of them would share. */
const NO_STATE = /^src\/(?:services|testing|protocol\/erps)\//
const MODULE_STATE = /^(?:export )?(?:let|var) \w+|^(?:export )?const \w+(?:: (?!Readonly)[^=]+)? = new (?:Map|Set|WeakMap|WeakSet)\b.*$/m

/** Everything that is wrong with the structure, a line each. */
export function violations(files: Files): string[] {
  if (files.size === 0) return ['no source file was seen: the test looks in the wrong place']
  const found: string[] = []
  const arrows = new Map<string, string[]>()
  for (const [path, text] of files) {
    const lines = text.split('\n').length
    if (lines > MOST_LINES) found.push(`${path} has ${lines} lines; ${MOST_LINES} at most`)
    const imports = importsOf(text)
    const ours = imports.filter(({ from }) => from.startsWith('.')).map(({ from }) => normalize(join(dirname(path), from)))
    arrows.set(path, ours)
    for (const target of ours) {
      if (!files.has(target)) found.push(`${path} imports ${target}, which is not there`)
      const wrong = wrongArrow(path, target)
      if (wrong !== undefined) found.push(wrong)
    }
    const kept = NO_STATE.test(path) ? MODULE_STATE.exec(text)?.[0] : undefined
    if (kept !== undefined) found.push(`${path} keeps something for all worlds of the process: ${kept}`)
    if (PURE.some((pattern) => pattern.test(path))) found.push(...impurities(path, text, imports))
  }
  const cycle = findCycle(arrows)
  if (cycle !== undefined) found.push(`a cycle: ${cycle.join(' -> ')}`)
  return found
}

function importsOf(text: string): { from: string; line: string }[] {
  return [...text.matchAll(/^(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]|^import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm)]
    .map((match) => ({ from: (match[1] ?? match[2] ?? match[3]) as string, line: match[0] }))
}

function layerOf(path: string): string {
  return path.split('/')[1] as string
}

function wrongArrow(path: string, target: string): string | undefined {
  const [from, to] = [layerOf(path), layerOf(target)]
  // The package's front door.
  if (path === 'src/index.ts') return undefined
  if (from === to) {
    const sideways = from === 'transports' && path.split('/')[2] !== target.split('/')[2]
    return sideways ? `${path} imports ${target}: transports do not know one another` : undefined
  }
  const allowed = MAY_IMPORT[from]
  if (allowed === undefined) return `${path}: there is no layer "${from}"`
  return allowed.includes(to) ? undefined : `${path} imports ${target}: ${from} may not know ${to}`
}

function impurities(path: string, text: string, imports: readonly { from: string; line: string }[]): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '').replace(/'(?:[^'\\\n]|\\.)*'/g, "''")
  const found: string[] = []
  const global = FORBIDDEN_GLOBALS.exec(code)
  if (global !== null) found.push(`${path} uses ${global[0]}: time and chance are handed in`)
  for (const { from, line } of imports) {
    if (path === ZSTD_FILE && PURE_ZSTD.test(line)) continue
    if (path === INFLATE_FILE && PURE_INFLATE.test(line)) continue
    if (path === DEFLATE_FILE && PURE_DEFLATE.test(line)) continue
    if (from.startsWith('node:') && !PURE_NODE.includes(from) && !PURE_TYPE_ONLY.test(line) && !PURE_CRYPTO.test(line)) found.push(`${path} imports ${from}: no socket, file or clock here`)
  }
  return found
}

function findCycle(arrows: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>()
  const way: string[] = []
  function visit(path: string): string[] | undefined {
    const at = way.indexOf(path)
    if (at !== -1) return [...way.slice(at), path]
    if (done.has(path)) return undefined
    way.push(path)
    for (const target of arrows.get(path) ?? []) {
      const cycle = visit(target)
      if (cycle !== undefined) return cycle
    }
    way.pop()
    done.add(path)
    return undefined
  }
  for (const path of arrows.keys()) {
    const cycle = visit(path)
    if (cycle !== undefined) return cycle
  }
  return undefined
}

/** The source files below a folder that holds `src/`. */
export function sourceFiles(root: string): Files {
  return new Map(globSync('src/**/*.ts', { cwd: root }).map((path) => [path.replaceAll('\\', '/'), readFileSync(join(root, path), 'utf8')]))
}
