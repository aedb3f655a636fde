import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { WaystationError } from '../../src/core/errors.ts'
import { effective, fromEnvironment, fromFile, fromFlags, fromProgram, type Source } from '../../src/server/config.ts'
import { OPTIONS, type Config, type OptionName } from '../../src/server/options.ts'
import { temporaryFolder } from '../support/certificates.ts'

function file(values: Record<string, unknown>): Source {
  return { name: 'waystation.config.ts', values, write: (name) => name }
}

/** The problems of these sources, line by line. */
function problems(...sources: Source[]): string[] {
  try {
    effective(sources)
  } catch (error) {
    assert.ok(error instanceof WaystationError && error.code === 'config_invalid', String(error))
    return error.detail.split('\n').slice(1).map((line) => line.trim())
  }
  return []
}

test('where nothing is stated the defaults hold, and it is known that they do', () => {
  const { options, from } = effective([])
  for (const name of Object.keys(OPTIONS) as OptionName[]) {
    assert.deepEqual(options[name], OPTIONS[name].default)
    assert.equal(from[name], 'default')
  }
})

test('a file stands over the defaults, the environment over the file, a flag over all', () => {
  const { options, from } = effective([
    file({ addr: ':1', logLevel: 'warn', maxConnections: 7, retry: 1 }),
    fromEnvironment({ WAYSTATION_ADDR: ':2', WAYSTATION_LOG_LEVEL: 'error', WAYSTATION_RETRY: '2s' }),
    fromFlags({ addr: ':3', retry: '3s' }),
  ])
  assert.deepEqual([options.addr, options.logLevel, options.maxConnections, options.retry, options.sse], [':3', 'error', 7, 3_000, true])
  assert.deepEqual([from.addr, from.logLevel, from.maxConnections, from.sse], ['command line', 'environment', 'waystation.config.ts', 'default'])
})

test('a list of a later place replaces that of an earlier one', () => {
  const { options } = effective([file({ origin: ['https://a.example', 'https://b.example'] }), fromFlags({ origin: ['https://c.example'] })])
  assert.deepEqual(options.origin, ['https://c.example'])
})

test('what is stated as undefined is not stated', () => {
  const { options, from } = effective([fromProgram({ addr: ':1' }), fromProgram({ addr: undefined } as unknown as Config)])
  assert.deepEqual([options.addr, from.addr], [':1', 'options'])
})

test('every option can be stated in the environment by its own name', (t) => {
  const dictionary = join(temporaryFolder(t), 'orders.dict')
  writeFileSync(dictionary, 'what many orders have in common')
  const texts: Record<string, string> = { text: 'x', texts: 'x,y', switch: 'off', bytes: '1GiB', time: '1h', count: '100000', rules: '[]', grants: '[]', links: '[]', serviceRules: '[]', services: '[]', port: '5555', choice: 'debug', secret: 'x', database: 'x' }
  const special: Record<string, string> = {
    addr: '127.0.0.1:1', origin: '*', trustedProxies: '10.0.0.0/8', pingInterval: '30m',
    toBroadcastersAuth: 'token', toSubscribersAuth: 'token', secretsFile: '', allowWebhooks: '10.0.0.1', publicUrl: 'http://x', compressionDictionaries: `2:3:${dictionary}`, linkTransport: 'tls', serviceTransport: 'tls',
  }
  const names = Object.keys(OPTIONS) as OptionName[]
  const env = Object.fromEntries(names.map((name) => [`WAYSTATION_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`, special[name] ?? texts[OPTIONS[name].kind]]))
  const { from } = effective([fromEnvironment(env)])
  for (const name of names) assert.equal(from[name], 'environment', name)
})

test('an unknown name is a problem that names the nearest known one, as its own place writes it', () => {
  assert.deepEqual(problems(file({ maxMesageBytes: 1 })), ['waystation.config.ts: maxMesageBytes is no option; did you mean maxMessageBytes?'])
  assert.deepEqual(problems(fromEnvironment({ WAYSTATION_ADR: ':1' })), ['environment: WAYSTATION_ADR is no option; did you mean WAYSTATION_ADDR?'])
  assert.deepEqual(problems(fromFlags({ orgin: 'x' })), ['command line: --orgin is no option; did you mean --origin?'])
  assert.deepEqual(problems(fromProgram({ nothingLikeIt: 1 } as unknown as Config)), ['options: nothingLikeIt is no option'])
})

test('names that every object has are no options either', () => {
  for (const name of ['constructor', 'toString', 'hasOwnProperty', '__proto__']) {
    assert.match(problems(file(JSON.parse(`{${JSON.stringify(name)}: 1}`)))[0] ?? '', new RegExp(`${name} is no option`))
  }
})

test('only names under its own prefix are looked at in the environment, and the name of the file is not an option', () => {
  assert.deepEqual(problems(fromEnvironment({ PATH: 'x', WAYSTATIONS: 'x', WAYSTATION: 'x', ADDR: 'nonsense', WAYSTATION_CONFIG: 'any.ts', WAYSTATION_URL: 'http://hub' })), [])
})

test('all problems of all places are told at once, each with its place', () => {
  const found = problems(
    file({ maxConnections: 0, sse: 'maybe', colour: 'red', rules: [{ topics: 5 }, { topic: 'a' }] }),
    fromEnvironment({ WAYSTATION_RETRY: 'soon', WAYSTATION_TLS_KEY: 'key.pem' }),
    fromFlags({ addr: 'nowhere', origin: ['example.com'], trustedProxies: ['somebody'], pingInterval: '40s' }),
  )
  const expected = [
    /^waystation\.config\.ts: maxConnections must be at least 1$/,
    /^waystation\.config\.ts: sse must be on or off$/,
    /^waystation\.config\.ts: colour is no option$/,
    /^waystation\.config\.ts: rules \[0\]\.topics must be a text/,
    /^waystation\.config\.ts: rules \[1\]\.topics is missing$/,
    /^waystation\.config\.ts: rules \[1\]\.topic is no key of a rule; did you mean topics\?$/,
    /^environment: WAYSTATION_RETRY must be a time/,
    /^command line: --addr "nowhere" is no address/,
    /^command line: --origin "example\.com" is no origin/,
    /^command line: --trusted-proxies "somebody" is neither/,
    /^--tls-cert is missing: a certificate and its key go together$/,
    /^command line: --ping-interval must be shorter than the pong deadline of 30000 ms$/,
  ]
  for (const line of expected) assert.ok(found.some((problem) => line.test(problem)), `${line} is not in\n${found.join('\n')}`)
  assert.equal(found.length, expected.length, found.join('\n'))
})

test('what can only be judged together is judged by what is in force, and told of where it was stated', () => {
  assert.deepEqual(problems(fromFlags({ pongDeadline: '10s' })), ['command line: --pong-deadline must be longer than the ping interval of 27000 ms'])
  assert.deepEqual(problems(fromFlags({ pongDeadline: '10s' }), fromProgram({ pingInterval: 100 })), [])
  assert.deepEqual(problems(fromProgram({ tlsCert: 'a.pem' })), ['--tls-key is missing: a certificate and its key go together'])
  assert.deepEqual(problems(fromProgram({ tlsCert: 'a.pem' }), fromFlags({ tlsKey: 'b.pem' })), [])
  assert.deepEqual(problems(fromEnvironment({ WAYSTATION_ADDR: 'x' }), fromFlags({ addr: ':1' })), [])
})

const OPTIONS_MODULE = pathToFileURL(join(import.meta.dirname, '../../src/server/options.ts')).href

const files: [name: string, text: string][] = [
  ['waystation.config.ts', `import { defineConfig, type Config } from ${JSON.stringify(OPTIONS_MODULE)}\nconst config: Config = { addr: ':4711', maxMessageBytes: '2MiB' }\nexport default defineConfig(config)\n`],
  ['waystation.config.js', "export default { addr: ':4711', maxMessageBytes: '2MiB' }\n"],
  ['waystation.config.json', '{ "addr": ":4711", "maxMessageBytes": "2MiB" }\n'],
]

for (const [name, text] of files) {
  test(`${name} is found in the working folder, or read when it is named`, async (t) => {
    const folder = temporaryFolder(t)
    assert.equal(await fromFile(undefined, folder), undefined)
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    writeFileSync(join(folder, name), text)
    for (const named of [undefined, name, join(folder, name)]) {
      const source = await fromFile(named, folder)
      assert.ok(source !== undefined)
      assert.equal(source.name, named ?? name)
      const { options, from } = effective([source])
      assert.deepEqual([options.addr, options.maxMessageBytes, from.addr], [':4711', 2_097_152, named ?? name])
    }
  })
}

test('of several files the TypeScript one counts, then the JavaScript one', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'waystation.config.json'), '{ "addr": ":1" }')
  assert.equal((await fromFile(undefined, folder))?.name, 'waystation.config.json')
  writeFileSync(join(folder, 'waystation.config.js'), 'module.exports = {}')
  writeFileSync(join(folder, 'waystation.config.ts'), 'export default {}')
  assert.equal((await fromFile(undefined, folder))?.name, 'waystation.config.ts')
  assert.equal((await fromFile('waystation.config.json', folder))?.name, 'waystation.config.json')
})

const broken: [what: string, name: string, text: string | undefined, says: RegExp][] = [
  ['that is not there', 'other.ts', undefined, /other\.ts: there is no such file/],
  ['with a mistake in its JSON', 'a.json', '{ "addr": }', /a\.json: .*JSON/],
  ['with a mistake in its code', 'a.mjs', 'export default {', /a\.mjs: /],
  ['that throws', 'a.mjs', "throw new Error('no license')", /a\.mjs: no license/],
  ['that exports nothing', 'a.mjs', 'export const config = {}', /a\.mjs: must export an object; write "export default defineConfig/],
  ['that exports a list', 'a.json', '[]', /a\.json: must export an object/],
  ['that exports null', 'a.json', 'null', /a\.json: must export an object/],
]

for (const [what, name, text, says] of broken) {
  test(`a file ${what} is an error that names it`, async (t) => {
    const folder = temporaryFolder(t)
    if (text !== undefined) writeFileSync(join(folder, name), text)
    await assert.rejects(fromFile(name, folder), (error: unknown) => error instanceof WaystationError && error.code === 'config_invalid' && says.test(error.message))
  })
}
