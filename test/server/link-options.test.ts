import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { effective, fromEnvironment, fromFlags, fromProgram, type Source } from '../../src/server/config.ts'
import type { Config, Options } from '../../src/server/options.ts'

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

const good: readonly [name: string, source: Source, expected: Partial<Options>][] = [
  ['linkServer is the options that begin with link, put together', fromProgram({ linkServer: { port: 5555, tls: { ...tls, crlfile: 'crl.pem' }, host: '::1', grants: [{ certificate: 'edge*', topics: ['news/*'] }], atoms: ['ping'], matchAddress: true } }), {
    linkPort: 5555, linkHost: '::1', linkCacertfile: 'ca.pem', linkCertfile: 'hub.pem', linkKeyfile: 'hub.key', linkCrlfile: 'crl.pem',
    linkGrants: [{ certificate: 'edge*', topics: ['news/*'] }], linkAtoms: ['ping'], linkMatchAddress: true, linkTransport: 'tls',
  }],
  ['the same names are flags', fromFlags({ linkPort: '0', linkCacertfile: 'a', linkCertfile: 'b', linkKeyfile: 'c', linkGrants: '[]' }), { linkPort: 0, linkCacertfile: 'a', linkCertfile: 'b', linkKeyfile: 'c', linkGrants: [] }],
  ['a port may be a text in a configuration, too', fromProgram({ linkServer: { port: '5555', tls } }), { linkPort: 5555 }],
  ['over plain TCP no files are needed, on this machine', fromProgram({ linkServer: { port: 0, transport: 'tcp' } }), { linkPort: 0, linkTransport: 'tcp' }],
  ['over plain TCP beyond this machine, when it is said twice', fromProgram({ linkServer: { port: 0, transport: 'tcp', host: '0.0.0.0', insecure: true } }), { linkHost: '0.0.0.0', linkInsecure: true }],
  ['links are a list', fromProgram({ links: [{ server: '10.0.0.5', port: 5555, topics: ['my_topic'], tls: { ...tls, servername: 'hub' }, prefix: '' }] }), { links: [{ server: '10.0.0.5', port: 5555, topics: ['my_topic'], tls: { ...tls, servername: 'hub' }, prefix: '' }] }],
  ['links are JSON in the environment', fromEnvironment({ WAYSTATION_LINKS: '[{"server":"localhost","port":1,"topics":["a"],"transport":"tcp"}]' }), { links: [{ server: 'localhost', port: 1, topics: ['a'], transport: 'tcp' }] }],
  ['a link over plain TCP to elsewhere, when it is said twice', fromProgram({ links: [{ server: '10.0.0.5', port: 1, topics: ['a'], transport: 'tcp', insecure: true }] }), {}],
]

for (const [name, source, expected] of good) {
  test(`links: ${name}`, () => {
    const options = read(source)
    assert.ok(!Array.isArray(options), String(options))
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(options[key as keyof Options], value, key)
  })
}

const link = { server: '10.0.0.5', port: 5555, topics: ['a'], tls }
const bad: readonly [name: string, source: Source, ...problems: RegExp[]][] = [
  ['an unknown key of linkServer, with what may have been meant', fromProgram({ linkServer: { port: 1, tls, grant: [] } } as unknown as Config), /^linkServer\.grant is no key of it; did you mean grants\?$/],
  ['an unknown file', fromProgram({ linkServer: { port: 1, tls: { ...tls, cacertfle: 'x' } } } as unknown as Config), /^linkServer\.tls\.cacertfle is no key of it; did you mean cacertfile\?$/],
  ['linkServer mistyped', fromProgram({ linkserver: { port: 1, tls } } as unknown as Config), /^linkserver is no option; did you mean linkServer\?$/],
  ['a grant within linkServer, by the name that it has there', fromProgram({ linkServer: { port: 1, tls, grants: [{ certificate: 'a' }] } } as unknown as Config), /^linkServer\.grants \[0\]\.topics is missing$/],
  ['linkServer and one of the options that it stands for', fromProgram({ linkServer: { port: 1, tls }, linkPort: 2 } as Config), /^linkPort is stated twice: linkServer\.port is the same$/],
  ['a linkServer without files', fromProgram({ linkServer: { port: 1 } }), /^linkPort needs linkCacertfile \(--link-cacertfile; linkServer\.tls\.cacertfile\): "waystation certs" makes it$/, /linkServer\.tls\.certfile/, /linkServer\.tls\.keyfile/],
  ['a list that is none', fromFlags({ links: '{"server":"a"}' }), /^--links must be a list, not an object$/],
  ['topics that are no list', fromProgram({ links: [{ ...link, topics: 'a' }] } as unknown as Config), /^links \[0\]\.topics must be a list, not "a"$/],
  ['a linkServer that is no object', fromProgram({ linkServer: 5555 } as unknown as Config), /^linkServer must be an object$/],
  ['a linkServer without a port', fromProgram({ linkServer: { transport: 'tcp' } } as unknown as Config), /^linkServer\.port is missing$/],
  ['linkServer in the environment, where there is no such thing', fromEnvironment({ WAYSTATION_LINK_SERVER: '{}' }), /^WAYSTATION_LINK_SERVER is no option/],
  ['a port that is none', fromFlags({ linkPort: '70000' }), /^--link-port must be a port number from 0 to 65535$/],
  ['a port without files', fromFlags({ linkPort: '5555' }), /--link-port needs linkCacertfile \(--link-cacertfile; linkServer\.tls\.cacertfile\): "waystation certs"/, /needs linkCertfile/, /needs linkKeyfile/],
  ['files without a port', fromFlags({ linkCertfile: 'x' }), /^--link-certfile is stated, but no port: state linkPort as well/],
  ['grants without a port', fromFlags({ linkGrants: '[{"certificate":"*","topics":["*"]}]' }), /^--link-grants is stated, but no port/],
  ['grants without certificates', fromProgram({ linkServer: { port: 1, transport: 'tcp', grants: [{ certificate: '*', topics: [] }] } }), /linkGrants are stated, but linkTransport is tcp/],
  ['files with plain TCP', fromProgram({ linkServer: { port: 1, transport: 'tcp', tls } }), /linkCacertfile is stated, but linkTransport is tcp/],
  ['plain TCP beyond this machine, said once', fromProgram({ linkServer: { port: 1, transport: 'tcp', host: '0.0.0.0' } }), /linkHost is not this machine, and over tcp everyone on the way reads and changes/],
  ['a grant with a broken glob', fromProgram({ linkServer: { port: 1, tls, grants: [{ certificate: '\ud800', topics: ['a'] }] } }), /^linkServer\.grants \[0\]\.certificate is no pattern/],
  ['grants that are no JSON', fromFlags({ linkGrants: '[' }), /^--link-grants must be JSON: a list of \{ certificate, topics \}$/],
  ['a link without files', fromProgram({ links: [{ server: '10.0.0.5', port: 1, topics: ['a'] }] }), /links \[0\]\.tls is missing: \{ cacertfile, certfile, keyfile \}/],
  ['a link without topics', fromProgram({ links: [{ ...link, topics: [] }] }), /links \[0\]\.topics must name a topic/],
  ['a link to port 0', fromProgram({ links: [{ ...link, port: 0 }] }), /links \[0\]\.port must be >=1, not 0/],
  ['a link to something that is no host', fromProgram({ links: [{ ...link, server: 'tls://10.0.0.5' }] }), /links \[0\]\.server must be a host name or an IP address/],
  ['an unknown key of a link', fromProgram({ links: [{ ...link, topic: 'a' }] } as unknown as Config), /links \[0\]\.topic is no key of a link; did you mean topics\?/],
  ['a broken glob among the topics of a link', fromProgram({ links: [{ ...link, topics: ['a', '\ud800'] }] }), /links \[0\]\.topics\[1\] is no pattern/],
  ['a link over plain TCP to elsewhere, said once', fromProgram({ links: [{ server: '10.0.0.5', port: 1, topics: ['a'], transport: 'tcp' }] }), /links \[0\]\.server 10\.0\.0\.5 is not this machine/],
  ['files with a link over plain TCP', fromProgram({ links: [{ ...link, transport: 'tcp' }] }), /links \[0\]\.tls is stated, but \.transport is tcp/],
]

for (const [name, source, ...problems] of bad) {
  test(`links refuse: ${name}`, () => {
    const found = read(source)
    assert.ok(Array.isArray(found), 'it was taken')
    for (const [i, problem] of problems.entries()) assert.match(found[i] ?? '', problem)
  })
}
