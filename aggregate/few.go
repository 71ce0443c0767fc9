package aggregate

// FewContributors is the number below which no merge rule protects statistically: among fewer than 2f+3 = 5 contributors
// not even one liar can be told from the rest by distances (Blanchard et al. 2017). What is left are the checks, of which
// every contribution has verify.checks, at least one, whatever the number of contributors.
const FewContributors = 5
