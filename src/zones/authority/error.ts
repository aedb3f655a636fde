/** Why the folder of a CA is left as it is: a sentence for whoever asked. */
export class AuthorityError extends Error {
  override readonly name = 'AuthorityError'
}
