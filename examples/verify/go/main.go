// Verifies the access tokens that come on standard input, one on each line.
//
//	go run . <PUBLIC_URL of Gatepost> <JWT_AUDIENCE>
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Algorithms are those that Gatepost can be set to.
var algorithms = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256}

// Claims are those of an access token that this program looks at.
type Claims struct {
	jwt.Claims
	SessionID string   `json:"sid"`
	Roles     []string `json:"roles"`
}

// Verifier verifies tokens of one issuer for one audience.
type Verifier struct {
	issuer, audience string
	keys             jose.JSONWebKeySet
}

// Verify says whose token this is.
func (v *Verifier) Verify(token string) (*Claims, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, err
	}
	header := parsed.Headers[0]
	if header.ExtraHeaders[jose.HeaderType] != "at+jwt" {
		return nil, errors.New("not an access token")
	}
	// Keys change seldom. In a server, fetch at most once in some seconds: anybody can send
	// tokens that name keys which do not exist.
	if len(v.keys.Key(header.KeyID)) == 0 {
		if err := v.fetch(); err != nil {
			return nil, err
		}
	}
	keys := v.keys.Key(header.KeyID)
	// The algorithm is the key's, whatever the token says.
	if len(keys) != 1 || keys[0].Algorithm != header.Algorithm {
		return nil, errors.New("an unknown key is named")
	}
	claims := &Claims{}
	if err := parsed.Claims(keys[0], claims); err != nil {
		return nil, err
	}
	if claims.Expiry == nil || claims.Subject == "" {
		return nil, errors.New("a claim is missing")
	}
	expected := jwt.Expected{Issuer: v.issuer, AnyAudience: jwt.Audience{v.audience}, Time: time.Now()}
	return claims, claims.ValidateWithLeeway(expected, 5*time.Second)
}

func (v *Verifier) fetch() error {
	answer, err := http.Get(v.issuer + "/.well-known/jwks.json")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(&v.keys)
}

func main() {
	verifier := Verifier{issuer: os.Args[1], audience: os.Args[2]}
	if err := verifier.fetch(); err != nil {
		log.Fatal(err)
	}
	tokens := bufio.NewScanner(os.Stdin)
	for tokens.Scan() {
		if claims, err := verifier.Verify(tokens.Text()); err != nil {
			fmt.Println("refused", err)
		} else {
			fmt.Println("ok", claims.Subject)
		}
	}
}
