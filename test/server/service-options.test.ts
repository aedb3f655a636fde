import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { effective, fromEnvironment, fromFlags, fromProgram, type Source } from '../../src/server/config.ts'
import type { Config, Options } from '../../src/server/options.ts'
import type { ServiceConfig } from '../../src/server/service-options.ts'
import { readSigningKeys } from '../../src/server/service-signing.ts'
import { serveService } from '../../src/server/serve-service.ts'
import { temporaryFolder } from '../support/certificates.ts'

const tls = { cacertfile: 'ca.pem', certfile: 'hub.pem', keyfile: 'hub.key' }

/** The options in force, or the problems, line by line. */
function read(...sources: Source[]): Options | string[] {
  try {
    return effective(sources).options
  } catch (error) {
    assert.ok(error instanceof WaystationError && error.code === 'config_invalid', String(error))
    return error.detail.split('\n').slice(1).map((line) => line.trim().replace(/^[a-z ]+: /, ''))
  }
}

const named = [{ services: 'pay/*', call: 'signed', callers: ['shop-*'], workers: ['pay-*'] }] as const

const good: readonly [name: string, source: Source, expected: Partial<Options>][] = [
  ['serviceServer is the options that begin with service, put together', fromProgram({ serviceServer: { port: 4748, tls: { ...tls, crlfile: 'crl.pem' }, host: '::1', rules: named, atoms: ['ping'], matchAddress: true, keys: 'keys.json' } }), {
    servicePort: 4748, serviceHost: '::1', serviceCacertfile: 'ca.pem', serviceCertfile: 'hub.pem', serviceKeyfile: 'hub.key', serviceCrlfile: 'crl.pem',
    serviceRules: named, serviceAtoms: ['ping'], serviceMatchAddress: true, serviceKeys: 'keys.json', serviceTransport: 'tls',
  }],
  ['the same names are flags', fromFlags({ servicePort: '0', serviceCacertfile: 'a', serviceCertfile: 'b', serviceKeyfile: 'c', serviceRules: '[{"services":"*","call":"nobody"}]', serviceAtoms: ['ping,pong'] }), { servicePort: 0, serviceRules: [{ services: '*', call: 'nobody' }], serviceAtoms: ['ping', 'pong'] }],
  ['over plain TCP no files are needed, on this machine, and rules hold that speak of no certificates', fromProgram({ serviceServer: { port: 0, transport: 'tcp', rules: [{ services: '*', call: 'anyone', callers: [], workers: [] }] } }), { servicePort: 0, serviceTransport: 'tcp' }],
  ['over plain TCP beyond this machine, when it is said twice', fromProgram({ serviceServer: { port: 0, transport: 'tcp', host: '0.0.0.0', insecure: true } }), { serviceHost: '0.0.0.0', serviceInsecure: true }],
  ['rules hold for HTTP without a port, too', fromProgram({ serviceRules: named }), { serviceRules: named, servicePort: '' }],
  ['services are a list, with and without daemons', fromProgram({ services: [{ name: 'a/b é', policy: 'hash' }, { name: 'legacy', policy: 'round-robin', servers: [{ server: '10.0.0.9', port: 1 }, { server: '10.0.0.9', port: 2 }], tls: { ...tls, servername: 'api' }, identifier: 'legacy', version: '1.2.3', slots: 1, packetGap: 0 }] }), {}],
  ['services are JSON in the environment', fromEnvironment({ WAYSTATION_SERVICES: '[{"name":"x","servers":[{"server":"::1","port":1}],"transport":"tcp"}]' }), { services: [{ name: 'x', servers: [{ server: '::1', port: 1 }], transport: 'tcp' }] }],
  ['a service over plain TCP elsewhere, when it is said twice', fromProgram({ services: [{ name: 'x', servers: [{ server: '10.0.0.9', port: 1 }], transport: 'tcp', insecure: true }] }), {}],
]

for (const [name, source, expected] of good) {
  test(`services: ${name}`, () => {
    const options = read(source)
    assert.ok(!Array.isArray(options), String(options))
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(options[key as keyof Options], value, key)
  })
}

const tcp = { port: 0, transport: 'tcp' } as const
const legacy = { name: 'legacy', servers: [{ server: '10.0.0.9', port: 4747 }], tls }
const services = (...list: unknown[]): Source => fromProgram({ services: list as ServiceConfig[] })
const server = (stated: unknown): Source => fromProgram({ serviceServer: stated } as Config)
const bad: readonly [name: string, source: Source, ...problems: RegExp[]][] = [
  ['an unknown key of serviceServer, with what may have been meant', server({ port: 1, tls, rule: [] }), /^serviceServer\.rule is no key of it; did you mean rules\?$/],
  ['an unknown file', server({ port: 1, tls: { ...tls, cacertfle: 'x' } }), /^serviceServer\.tls\.cacertfle is no key of it; did you mean cacertfile\?$/],
  ['serviceServer mistyped', fromProgram({ serviceserver: tcp } as unknown as Config), /^serviceserver is no option; did you mean serviceServer\?$/],
  ['serviceServer and one of the options that it stands for', fromProgram({ serviceServer: tcp, servicePort: 2 }), /^servicePort is stated twice: serviceServer\.port is the same$/],
  ['a serviceServer without a port', server({ transport: 'tcp' }), /^serviceServer\.port is missing$/],
  ['a serviceServer that is no object', server(4748), /^serviceServer must be an object$/],
  ['serviceServer in the environment, where there is no such thing', fromEnvironment({ WAYSTATION_SERVICE_SERVER: '{}' }), /^WAYSTATION_SERVICE_SERVER is no option/],
  ['a port that is none', fromFlags({ servicePort: '70000' }), /^--service-port must be a port number from 0 to 65535$/],
  ['a port without files', server({ port: 1 }), /^servicePort needs serviceCacertfile \(--service-cacertfile; serviceServer\.tls\.cacertfile\): "waystation certs" makes it$/, /serviceServer\.tls\.certfile/, /serviceServer\.tls\.keyfile/],
  ['files without a port', fromFlags({ serviceCrlfile: 'x' }), /^--service-crlfile is stated, but no port: state servicePort as well \(--service-port\)$/],
  ['files with plain TCP', server({ ...tcp, tls }), /^serviceCacertfile is stated, but serviceTransport is tcp/],
  ['a match of addresses where nobody shows a certificate', server({ ...tcp, matchAddress: true }), /^serviceMatchAddress is stated, but serviceTransport is tcp: nobody shows a certificate$/],
  ['workers by name where nobody has a name', server({ ...tcp, rules: [{ services: '*', call: 'anyone' }, { services: '*', workers: ['w-*'] }] }), /^serviceRules \[1\]\.workers \["w-\*"\] speaks of names of certificates, but serviceTransport is tcp, which has none$/],
  ['callers by name where nobody has a name, signed or not', server({ ...tcp, keys: 'keys.json', rules: [{ services: '*', callers: ['*'] }] }), /^serviceRules \[0\]\.callers \["\*"\] speaks of names/],
  ['plain TCP beyond this machine, said once', server({ ...tcp, host: '0.0.0.0' }), /^serviceHost is not this machine, and over tcp .* or say serviceInsecure \(--service-insecure\) as well$/],
  ['a transport that is none', fromFlags({ serviceTransport: 'udp' }), /^--service-transport must be one of tls, tcp$/],
  ['rules that are no JSON', fromFlags({ serviceRules: '[' }), /^--service-rules must be JSON: a list of \{ services, call, callers, workers \}$/],
  ['rules that are no list', server({ ...tcp, rules: { services: '*' } }), /^serviceServer\.rules must be a list, not an object$/],
  ['a rule without a pattern', server({ ...tcp, rules: [{ call: 'anyone' }] }), /^serviceServer\.rules \[0\]\.services is missing$/],
  ['a rule with a broken pattern', server({ ...tcp, rules: [{ services: '\ud800' }] }), /^serviceServer\.rules \[0\]\.services is no pattern/],
  ['a broken pattern among workers', server({ ...tcp, rules: [{ services: '*', workers: ['a', '\ud800'] }] }), /^serviceServer\.rules \[0\]\.workers\[1\] is no pattern/],
  ['a rule with an unknown word', server({ ...tcp, rules: [{ services: '*', call: 'everyone' }] }), /^serviceServer\.rules \[0\]\.call must be .*"anyone".*, not "everyone"$/],
  ['an unknown key of a rule', server({ ...tcp, rules: [{ services: '*', worker: ['a'] }] }), /^serviceServer\.rules \[0\]\.worker is no key of a rule; did you mean workers\?$/],
  ['a service without a name', services({}), /^services \[0\]\.name is missing$/],
  ['a service whose name is empty, too long or no text', services({ name: '' }, { name: 'é'.repeat(128) }, { name: '\ud800' }), /^services \[0\]\.name is empty$/, /^services \[1\]\.name has more than 255 bytes$/, /^services \[2\]\.name must be well-formed Unicode$/],
  ['a name that stands twice', services({ name: 'math' }, { name: 'a' }, { name: 'math' }, { name: 'math' }), /^services has math twice$/],
  ['an unknown policy', services({ name: 'a', policy: 'random' }), /^services \[0\]\.policy must be .*"least".*, not "random"$/],
  ['an unknown key of a service', services({ ...legacy, polcy: 'hash' }), /^services \[0\]\.polcy is no key of a service; did you mean policy\?$/],
  ['an unknown key of a server', services({ ...legacy, servers: [{ server: 'a', prt: 1 }] }), /services \[0\]\.servers\[0\]\.port is missing/, /servers\[0\]\.prt is no key of a service; did you mean port\?/],
  ['a server that is no host', services({ ...legacy, servers: [{ server: 'tls://a', port: 1 }] }), /^services \[0\]\.servers\[0\]\.server must be a host name or an IP address$/],
  ['a server that stands twice', services({ ...legacy, servers: [...legacy.servers, ...legacy.servers] }), /^services \[0\]\.servers has 10\.0\.0\.9:4747 twice$/],
  ['servers without files', services({ ...legacy, tls: undefined }), /^services \[0\]\.tls is missing: \{ cacertfile, certfile, keyfile \}$/],
  ['files with servers over plain TCP', services({ ...legacy, transport: 'tcp' }), /^services \[0\]\.tls is stated, but \.transport is tcp$/],
  ['servers over plain TCP elsewhere, said once', services({ name: 'x', servers: [{ server: '127.0.0.1', port: 1 }, { server: '10.0.0.9', port: 1 }], transport: 'tcp' }), /^services \[0\]\.servers 10\.0\.0\.9 is not this machine/],
  ['what says how servers are called, where there are none', services({ name: 'x', tls, slots: 3, identifier: 'x' }), /^services \[0\]\.tls is stated, but no \.servers that it is for$/, /\.identifier is stated/, /\.slots is stated/],
  ['an identifier that does not fit, or would come out as another', services({ ...legacy, identifier: 'é'.repeat(19) }, { ...legacy, name: 'b', identifier: 'x\0' }), /^services \[0\]\.identifier has 38 bytes; 36 fit/, /^services \[1\]\.identifier must be well-formed Unicode, with no zero/],
  ['a version that is none', services({ ...legacy, version: 'v1' }), /^services \[0\]\.version must be a version such as 1\.2\.3, not "v1"$/],
  ['slots and gaps that are no numbers of any use', services({ ...legacy, slots: 0 }, { ...legacy, name: 'b', slots: 1.5 }, { ...legacy, name: 'c', packetGap: -1 }, { ...legacy, name: 'd', packetGap: Infinity }), /\[0\]\.slots must be a whole number from 1 on, not 0$/, /\[1\]\.slots .* not 1\.5$/, /\[2\]\.packetGap must be a number of ms from 0 to \d+, not -1$/, /\[3\]\.packetGap .* not Infinity$/],
]

for (const [name, source, ...problems] of bad) {
  test(`services refuse: ${name}`, () => {
    const found = read(source)
    assert.ok(Array.isArray(found), 'it was taken')
    for (const [i, problem] of problems.entries()) assert.match(found[i] ?? '', problem)
  })
}

test('the first key of a file signs, also where an object would have another one first', (t) => {
  const file = join(temporaryFolder(t), 'keys.json')
  writeFileSync(file, '{ "2027": "the new one, 16 by", "a\\"b": "with: \\"quotes\\" in", "2026" :"the old one, 16 by" }')
  assert.deepEqual(readSigningKeys(file).map(({ id, secret }) => [id, String(secret)]), [['2027', 'the new one, 16 by'], ['a"b', 'with: "quotes" in'], ['2026', 'the old one, 16 by']])
})

const SECRET = 'open sesame'
const files: readonly [name: string, content: string, problem: RegExp][] = [
  ['no JSON', `{ "a": "${SECRET}" `, / must be JSON: \{ "id": "secret" \}$/],
  ['a list', `["${SECRET}"]`, / must be JSON: \{ "id": "secret" \}$/],
  ['no key', '{}', / has no key$/],
  ['a number as the secret', '{ "a": 1234567890123456 }', / has no text as the secret of "a"$/],
  ['a list as the secret', `{ "a": ["${SECRET}"] }`, / has no text as the secret of "a"$/],
  ['a secret that is too short', `{ "a": "${SECRET}" }`, / has no secret of at least 16 bytes under "a"$/],
  ['an id that is too long', `{ "${'é'.repeat(9)}": "${SECRET.repeat(2)}" }`, / has the id "é+", which must have 1 to 16 bytes/],
  ['an id with a zero, which would be another one on the way', `{ "a\\u0000": "${SECRET.repeat(2)}" }`, /no zero$/],
  ['an id that stands twice', `{ "a": "${SECRET.repeat(2)}", "a": "${SECRET.repeat(3)}" }`, / has an id twice$/],
]

test('a file of keys that cannot be used is named with what is wrong, and no secret is told', async (t) => {
  const folder = temporaryFolder(t)
  const refusal = (file: string): string => {
    try {
      readSigningKeys(file)
    } catch (error) {
      assert.ok(error instanceof WaystationError && error.code === 'config_invalid')
      return error.detail
    }
    return 'it was taken'
  }
  for (const [name, content, problem] of files) {
    const file = join(folder, 'keys.json')
    writeFileSync(file, content)
    const detail = refusal(file)
    assert.ok(detail.startsWith(file) && !/open sesame|1234567/.test(detail), detail)
    assert.match(detail, problem, name)
  }
  assert.match(refusal(join(folder, 'none.json')), /none\.json cannot be read: ENOENT/)
  mkdirSync(join(folder, 'folder'))
  assert.match(refusal(join(folder, 'folder')), /cannot be read: EISDIR/)
})

test('keys that a program states are held to the same, and no secret is told', async () => {
  const problem = async (key: object): Promise<string> => serveService({ transport: 'tcp', signing: { keys: [key, { id: 'b', secret: SECRET.repeat(2) }] } as never }, {}).then(() => 'it was taken', (error: Error) => error.message)
  for (const [key, pattern] of [
    [{ id: 'a', secret: 1234567890123456 }, /signing\.keys\[0\]\.secret must be a text or bytes, 16 bytes at least/],
    [{ id: 'a', secret: SECRET }, /signing\.keys\[0\]\.secret must be/],
    [{ id: 'a\0', secret: SECRET.repeat(2) }, /signing\.keys\[0\]\.id must have 1 to 16 bytes/],
    [{ id: 'a' }, /signing\.keys\[0\]\.secret is missing/],
    [{ id: 'b', secret: SECRET.repeat(2) }, /signing\.keys has an id twice/],
  ] as const) {
    const text = await problem(key)
    assert.match(text, pattern)
    assert.doesNotMatch(text, /open sesame|1234567/)
  }
})
