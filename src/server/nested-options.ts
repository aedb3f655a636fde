import { hint } from './nearest.ts'

/** What stands for several options in a configuration, put together: its keys, those of its files, and the options that they are. */
const NESTED: Readonly<Record<string, { readonly keys: Readonly<Record<string, string>>; readonly tls: Readonly<Record<string, string>> }>> = {
  linkServer: {
    keys: { port: 'linkPort', host: 'linkHost', transport: 'linkTransport', insecure: 'linkInsecure', grants: 'linkGrants', atoms: 'linkAtoms', matchAddress: 'linkMatchAddress' },
    tls: { cacertfile: 'linkCacertfile', certfile: 'linkCertfile', keyfile: 'linkKeyfile', crlfile: 'linkCrlfile' },
  },
  serviceServer: {
    keys: { port: 'servicePort', host: 'serviceHost', transport: 'serviceTransport', insecure: 'serviceInsecure', rules: 'serviceRules', atoms: 'serviceAtoms', matchAddress: 'serviceMatchAddress', keys: 'serviceKeys' },
    tls: { cacertfile: 'serviceCacertfile', certfile: 'serviceCertfile', keyfile: 'serviceKeyfile', crlfile: 'serviceCrlfile' },
  },
}

/** Their names. */
export const NESTED_NAMES: readonly string[] = Object.keys(NESTED)

/** One of them as the options that it stands for, and what is wrong with it. */
export function spread(name: string, value: unknown): { stated: readonly { name: string; stated: unknown; as: string }[]; problems: readonly string[] } {
  const { keys, tls } = NESTED[name] as (typeof NESTED)[string]
  const stated: { name: string; stated: unknown; as: string }[] = []
  const problems: string[] = []
  const put = (from: unknown, known: Readonly<Record<string, string>>, path: string): void => {
    if (typeof from !== 'object' || from === null || Array.isArray(from)) return void problems.push(`${path} must be an object`)
    for (const [key, one] of Object.entries(from)) {
      const option = Object.hasOwn(known, key) ? known[key] : undefined
      if (option !== undefined) stated.push({ name: option, stated: one, as: `${path}.${key}` })
      else if (key === 'tls' && known === keys) put(one, tls, `${path}.tls`)
      else problems.push(`${path}.${key} is no key of it${hint(key, [...Object.keys(known), ...(known === keys ? ['tls'] : [])])}`)
    }
  }
  put(value, keys, name)
  if (problems.length === 0 && !stated.some((one) => one.name === keys['port'] && one.stated !== undefined)) problems.push(`${name}.port is missing`)
  return { stated, problems }
}
